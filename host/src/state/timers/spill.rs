//! Timers larger than memory: beyond a bound keys go to a store, with all of their timers, so that none is in two places.
//! They come back when a call sets or cancels one of them, and when one of them is due.
//!
//! Which keys go a clock chooses (Corbató: "A Paging Experiment with the Multics System", 1968): those whose timers have
//! not been moved since its hand came by. Their places in the queue tell.

use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::time::Timestamp;
use crate::state::table::Position;

use super::store::{TIMER_BYTES, TimerStore, first_time, put_timer, read_timers};
use super::{KeyTimers, SET_BYTES, Set, Timers, key_bytes};

/// This part of the memory is made free at once.
const FREED_PART: usize = 16;

/// The keys that are read at once take this part of the memory, if one reads so many of each key group.
const READ_PART: usize = 4;
/// About what a key takes in memory for each byte that it has in the store.
const GROWTH: usize = 8;
/// What is read at once, in bytes of the store.
const READ_BYTES_MAX: usize = 64 << 10;

impl Timers {
    /// Whether a key in the store may have a timer that is due before those in memory.
    pub(super) fn is_next_stored(&self, now: Timestamp) -> bool {
        let Some(((at, key), _)) = self.stored.first() else { return false };
        *at <= now && self.queue.first().is_none_or(|(first, first_key, _)| (at, key) <= (first, first_key))
    }

    /// Brings the keys of the group that may be the first, some more of them than are due at `now`: a page of them costs
    /// little more than one.
    pub(super) fn read_first(&mut self, now: Timestamp, store: &mut dyn TimerStore) -> Result<(), Fault> {
        let Some((from, group)) = self.stored.pop_first() else { return Ok(()) };
        let share = store.timer_bytes_max() / READ_PART / GROWTH / self.groups.len();
        let bytes_max = share.clamp(1, READ_BYTES_MAX);
        let next = store.take_first_timers(self.content, group, &from, now, bytes_max, &mut |key, timers| {
            self.put_key(key, KeyHash::of(key), timers)
        })?;
        if let Some(next) = next {
            self.stored.put(group, next);
        }
        Ok(())
    }

    /// A key has come from the store.
    fn put_key(&mut self, key: &[u8], hash: KeyHash, timers: &[u8]) -> Result<(), Fault> {
        for (timer, at) in read_timers(timers)? {
            self.set(key, hash, timer, at);
            self.stored.timers -= 1;
        }
        Ok(())
    }

    /// Whether timers are in a store.
    pub fn has_stored(&self) -> bool {
        self.stored.timers > 0
    }

    /// Brings these keys, which are distinct, to memory.
    pub fn bring<'k>(
        &mut self,
        keys: impl Iterator<Item = (&'k [u8], KeyHash)>,
        store: &mut dyn TimerStore,
    ) -> Result<(), Fault> {
        let mut missing = Keys::default();
        for (key, hash) in keys {
            if self.groups[self.group(hash)].find(key, hash).is_none() {
                missing.push(key, hash);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let (content, found) = (self.content, &missing);
        store.take_timers(content, found, &mut |i, timers| self.put_key(found.get(i), found.hash(i), timers))
    }

    /// Moves keys to the store, if timers take more memory than they may.
    pub fn make_room(&mut self, store: &mut dyn TimerStore) -> Result<(), Fault> {
        let bytes_max = store.timer_bytes_max();
        if self.bytes <= bytes_max {
            return Ok(());
        }
        while self.bytes > bytes_max - bytes_max / FREED_PART {
            let (group, place) = self.hand;
            if place >= self.groups[group].places() {
                self.hand = ((group + 1) % self.groups.len(), 0);
                continue;
            }
            self.hand.1 += 1;
            let Some((position, _, timers)) = self.groups[group].at(place) else { continue };
            match timers.set.iter().any(|set| set.at != set.queued_at) {
                true => self.queue_anew(group, position),
                false => self.move_out(group, position, store)?,
            }
        }
        store.write_timers()
    }

    /// Gives the timers of a key the places of their times.
    fn queue_anew(&mut self, group: usize, position: Position) {
        let timers = self.groups[group].get_mut(position);
        for set in timers.set.iter_mut().filter(|set| set.at != set.queued_at) {
            self.queue.remove(&(set.queued_at, Arc::clone(&timers.key), set.timer));
            set.queued_at = set.at;
            self.queue.insert((set.at, Arc::clone(&timers.key), set.timer));
        }
    }

    /// Moves a key whose timers have the places of their times to the store.
    fn move_out(&mut self, group: usize, position: Position, store: &mut dyn TimerStore) -> Result<(), Fault> {
        let KeyTimers { key, set } = self.groups[group].get(position).clone();
        self.groups[group].remove(KeyHash::of(&key), position);
        let mut timers = Vec::with_capacity(set.len() * TIMER_BYTES);
        for Set { timer, at, queued_at } in &set {
            self.queue.remove(&(*queued_at, Arc::clone(&key), *timer));
            put_timer(*timer, *at, &mut timers);
        }
        self.bytes -= key_bytes(&key) + set.len() * SET_BYTES;
        let in_group = KeyGroup(group as u16);
        store.put_timers(self.content, in_group, &key, &timers)?;
        self.stored.timers += set.len();
        self.stored.put(in_group, (first_time(&timers)?, key));
        Ok(())
    }
}
