//! The timers of one clock of an operator: at most one for each key and name; due ones come in (time, key) order.
//!
//! Moving a timer to later, which is what most operators do with every event, leaves its place in the queue: when the
//! place comes up, the timer goes back to its new time.
//!
//! Where the backend has a store for them, those that do not fit into memory are there (`spill`).

mod spill;
pub mod store;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::time::Timestamp;

use super::snapshot::{self, ChunkId, ChunkSink, ChunkSource, Content, Frozen};
use super::table::{self, Table};
use store::{TimerStore, put_timer, read_timers};
use stored::Stored;

/// About what a key takes in its table and the table's index, besides its bytes.
const KEY_BYTES: usize = 176;
/// About what a timer takes beside its key and in the queue.
const SET_BYTES: usize = 72;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimer {
    pub at: Timestamp,
    pub key: Arc<[u8]>,
    pub hash: KeyHash,
    /// Number of its name in the operator's descriptor.
    pub timer: u32,
}

pub struct Timers {
    content: Content,
    /// What is set, by key group: what a checkpoint keeps, beside what is in the store.
    groups: Vec<Table<KeyTimers>>,
    /// (time, key, timer): for each timer in memory a place at its time or before.
    queue: BTreeSet<(Timestamp, Arc<[u8]>, u32)>,
    /// What `groups` and `queue` take, about.
    bytes: usize,
    stored: Stored,
    /// Where the clock's hand is: a key group, and a place in its table.
    hand: (usize, usize),
}

#[derive(Clone, Debug, Default)]
struct KeyTimers {
    /// Shared with the queue.
    key: Arc<[u8]>,
    set: SmallVec<[Set; 1]>,
}

/// A timer that is set: when it is due, and where its place in the queue is.
#[derive(Clone, Copy, Debug)]
struct Set {
    timer: u32,
    at: Timestamp,
    queued_at: Timestamp,
}

impl KeyTimers {
    fn place(&self, timer: u32) -> Option<usize> {
        self.set.iter().position(|set| set.timer == timer)
    }
}

fn key_bytes(key: &[u8]) -> usize {
    KEY_BYTES + 2 * key.len()
}

impl Timers {
    /// `content` says which clock's they are.
    pub fn new(content: Content, max_parallelism: u16) -> Self {
        let groups = (0..max_parallelism).map(|_| Table::default()).collect();
        let stored = Stored::new(max_parallelism);
        Self { content, groups, queue: BTreeSet::new(), bytes: 0, stored, hand: (0, 0) }
    }

    fn group(&self, hash: KeyHash) -> usize {
        hash.group(self.groups.len() as u16).0.into()
    }

    /// Sets a timer, or moves it. `hash` is that of the key, which was brought if there is a store.
    pub fn set(&mut self, key: &[u8], hash: KeyHash, timer: u32, at: Timestamp) {
        let group = self.group(hash);
        let table = &mut self.groups[group];
        let new = Set { timer, at, queued_at: at };
        let Some(position) = table.find(key, hash) else {
            let shared: Arc<[u8]> = key.into();
            let set = SmallVec::from_slice(&[new]);
            table.insert(key, hash, KeyTimers { key: Arc::clone(&shared), set });
            self.queue.insert((at, shared, timer));
            self.bytes += key_bytes(key) + SET_BYTES;
            return;
        };
        let timers = table.get_mut(position);
        match timers.place(timer) {
            None => {
                timers.set.push(new);
                self.queue.insert((at, Arc::clone(&timers.key), timer));
                self.bytes += SET_BYTES;
            }
            Some(place) => {
                let set = &mut timers.set[place];
                set.at = at;
                if at < set.queued_at {
                    self.queue.remove(&(set.queued_at, Arc::clone(&timers.key), timer));
                    set.queued_at = at;
                    self.queue.insert((at, Arc::clone(&timers.key), timer));
                }
            }
        }
    }

    /// Cancels a timer, if it is set. See `set`.
    pub fn cancel(&mut self, key: &[u8], hash: KeyHash, timer: u32) {
        if let Some((shared, set)) = self.take(key, hash, timer) {
            self.queue.remove(&(set.queued_at, shared, timer));
        }
    }

    /// Forgets that a timer is set.
    fn take(&mut self, key: &[u8], hash: KeyHash, timer: u32) -> Option<(Arc<[u8]>, Set)> {
        let group = self.group(hash);
        let table = &mut self.groups[group];
        let position = table.find(key, hash)?;
        let place = table.get(position).place(timer)?;
        let timers = table.get_mut(position);
        let taken = (Arc::clone(&timers.key), timers.set.remove(place));
        self.bytes -= SET_BYTES;
        if timers.set.is_empty() {
            table.remove(hash, position);
            self.bytes -= key_bytes(key);
        }
        Some(taken)
    }

    /// Removes the timers that are due at `now`, at most `limit` of them, the earliest first, by key within a time.
    pub fn take_due(
        &mut self,
        now: Timestamp,
        limit: usize,
        mut store: Option<&mut dyn TimerStore>,
    ) -> Result<Vec<DueTimer>, Fault> {
        let mut due = Vec::new();
        while due.len() < limit {
            if let Some(store) = store.as_deref_mut()
                && self.is_next_stored(now)
            {
                self.read_first(now, store)?;
                continue;
            }
            match self.queue.first() {
                Some((queued_at, ..)) if *queued_at <= now => {}
                _ => break,
            }
            let (queued_at, key, timer) = self.queue.pop_first().expect("it has a first");
            let hash = KeyHash::of(&key);
            if !self.put_back(&key, hash, timer, queued_at) {
                self.take(&key, hash, timer);
                due.push(DueTimer { at: queued_at, key, hash, timer });
            }
        }
        store.map_or(Ok(()), |store| self.make_room(store))?;
        Ok(due)
    }

    /// Whether the timer whose place was at `queued_at` is due later: then its place is there now.
    fn put_back(&mut self, key: &Arc<[u8]>, hash: KeyHash, timer: u32, queued_at: Timestamp) -> bool {
        let group = self.group(hash);
        let table = &mut self.groups[group];
        let position = table.find(key, hash).expect("a queued timer has a key");
        let place = table.get(position).place(timer).expect("a queued timer is set");
        let at = table.get(position).set[place].at;
        if at == queued_at {
            return false;
        }
        table.get_mut(position).set[place].queued_at = at;
        self.queue.insert((at, Arc::clone(key), timer));
        true
    }

    /// No timer is due before this.
    pub fn next(&self) -> Option<Timestamp> {
        let in_memory = self.queue.first().map(|(at, ..)| *at);
        let stored = self.stored.first().map(|((at, _), _)| *at);
        in_memory.into_iter().chain(stored).min()
    }

    /// How many timers this key has, which was brought if there is a store.
    pub fn count(&self, key: &[u8], hash: KeyHash) -> usize {
        let table = &self.groups[self.group(hash)];
        table.find(key, hash).map_or(0, |position| table.get(position).set.len())
    }

    /// Whether this key, which was brought if there is a store, has a timer of this name.
    pub fn is_set(&self, key: &[u8], hash: KeyHash, timer: u32) -> bool {
        let table = &self.groups[self.group(hash)];
        table.find(key, hash).is_some_and(|position| table.get(position).place(timer).is_some())
    }

    pub fn len(&self) -> usize {
        self.queue.len() + self.stored.timers
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them are not in a store.
    pub fn len_in_memory(&self) -> usize {
        self.queue.len()
    }

    /// What is in memory now, or what of it has changed since the barrier's base. The backend's snapshot has the others.
    pub fn snapshot(&mut self, barrier: &Barrier) -> Box<dyn Frozen> {
        let groups = self.groups.iter_mut().zip(0..).map(|(table, group)| (KeyGroup(group), table.snapshot(barrier)));
        let groups = groups.filter(|(_, snapshot)| !snapshot.is_empty()).collect();
        Box::new(FrozenTimers { content: self.content, groups })
    }

    /// Sets what a checkpoint holds, of which the store has taken over its part; `timers` says for each of the
    /// checkpoint's timers the number that it has now.
    pub fn restore(
        &mut self,
        chunks: &mut dyn ChunkSource,
        timers: &[Option<u32>],
        mut store: Option<&mut dyn TimerStore>,
    ) -> Result<(), Fault> {
        let now = |timer: u32| timers.get(timer as usize).copied().flatten();
        if let Some(store) = store.as_deref_mut() {
            if (0..).zip(timers).any(|(then, now)| *now != Some(then)) {
                store.rewrite_timers(self.content, &mut |then| renumbered(then, now))?;
            }
            self.stored.restore(&store.stored_timers(self.content));
        }
        chunks.read(self.content, &mut |_, payload| {
            for entry in snapshot::entries(payload) {
                let (key, then) = entry?;
                let hash = KeyHash::of(key);
                for (timer, at) in read_timers(then)? {
                    if let Some(timer) = now(timer) {
                        self.set(key, hash, timer, at);
                    }
                }
            }
            store.as_deref_mut().map_or(Ok(()), |store| self.make_room(store))
        })
    }
}

/// The timers of a key by the numbers that they have now.
fn renumbered(timers: &[u8], now: impl Fn(u32) -> Option<u32>) -> Result<Vec<u8>, Fault> {
    let mut renumbered = Vec::with_capacity(timers.len());
    for (timer, at) in read_timers(timers)? {
        if let Some(timer) = now(timer) {
            put_timer(timer, at, &mut renumbered);
        }
    }
    Ok(renumbered)
}

struct FrozenTimers {
    content: Content,
    groups: Vec<(KeyGroup, table::Snapshot<KeyTimers>)>,
}

impl Frozen for FrozenTimers {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        let (mut payload, mut value) = (Vec::new(), Vec::new());
        for (group, snapshot) in self.groups {
            for (number, keys) in snapshot.pages() {
                payload.clear();
                let mut count = 0;
                for (key, timers) in keys {
                    value.clear();
                    timers.set.iter().for_each(|set| put_timer(set.timer, set.at, &mut value));
                    snapshot::put_entry(&mut payload, key, &value);
                    count += 1;
                }
                chunks.put(ChunkId { group, content: self.content, number }, count, &payload)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::checkpoint::CheckpointId;
    use crate::state::snapshot::testing::Chunks;

    proptest! {
        #[test]
        fn timers_are_a_map_that_gives_what_is_due_in_order(
            steps in prop::collection::vec((0u8..6, 0u32..3, 0i64..100, 0u8..12), 0..300)
        ) {
            let new = || Timers::new(Content::EventTimers, 8);
            let (mut timers, mut chunks, mut checkpoint) = (new(), Chunks::default(), 0);
            let mut model: BTreeMap<(Vec<u8>, u32), i64> = BTreeMap::new();
            let mut now = 0;
            for (key, timer, at, step) in steps {
                let hash = KeyHash::of(&[key]);
                match step {
                    0..6 => {
                        timers.set(&[key], hash, timer, Timestamp(at));
                        model.insert((vec![key], timer), at);
                    }
                    6..8 => {
                        timers.cancel(&[key], hash, timer);
                        model.remove(&(vec![key], timer));
                    }
                    8..10 => {
                        now = (now + at / 10).min(100);
                        let due: Vec<_> = timers.take_due(Timestamp(now), usize::MAX, None).unwrap().into_iter()
                            .map(|due| (due.at.0, due.key.to_vec(), due.timer)).collect();
                        let mut expected: Vec<_> = model.iter().filter(|(_, at)| **at <= now)
                            .map(|((key, timer), at)| (*at, key.clone(), *timer)).collect();
                        expected.sort();
                        prop_assert_eq!(due, expected);
                        model.retain(|_, at| *at > now);
                    }
                    10 => {
                        let base = (checkpoint > 0).then_some(CheckpointId(checkpoint));
                        checkpoint += 1;
                        let barrier = Barrier { checkpoint: CheckpointId(checkpoint), base, overtakes_at: None, stops: false };
                        timers.snapshot(&barrier).write(&mut chunks).unwrap();
                    }
                    _ => {
                        let barrier = Barrier { checkpoint: CheckpointId(checkpoint + 1), base: (checkpoint > 0).then_some(CheckpointId(checkpoint)), overtakes_at: None, stops: false };
                        timers.snapshot(&barrier).write(&mut chunks).unwrap();
                        (timers, checkpoint) = (new(), 0);
                        timers.restore(&mut chunks, &[Some(0), Some(1), Some(2)], None).unwrap();
                        chunks = Chunks::default();
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
            }
        }
    }
}
