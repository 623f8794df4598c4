//! The timers of one clock of an operator: at most one for each key and name; due ones come in (time, key) order.
//!
//! Moving a timer to later, which is what most operators do with every event, leaves its place in the queue: when the
//! place comes up, the timer goes back to its new time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::key_group::KeyHash;
use crate::model::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimer {
    pub at: Timestamp,
    pub key: Arc<[u8]>,
    pub hash: KeyHash,
    /// Number of its name in the operator's descriptor.
    pub timer: u32,
}

#[derive(Debug, Default)]
pub struct Timers {
    keys: hashbrown::HashMap<Arc<[u8]>, KeyTimers, PassHash>,
    /// (time, key, timer): for each timer a place at its time or before.
    queue: BTreeSet<(Timestamp, Arc<[u8]>, u32)>,
}

/// By timer: when it is due, and where its place in the queue is.
type KeyTimers = BTreeMap<u32, Place>;

#[derive(Clone, Copy, Debug)]
struct Place {
    at: Timestamp,
    queued_at: Timestamp,
}

/// Keys are found by hashing them once more with XXH3, which is what made their `KeyHash`.
#[derive(Clone, Copy, Debug, Default)]
struct PassHash;

impl std::hash::BuildHasher for PassHash {
    type Hasher = xxhash_rust::xxh3::Xxh3;
    fn build_hasher(&self) -> Self::Hasher {
        xxhash_rust::xxh3::Xxh3::new()
    }
}

impl Timers {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, key: &[u8], timer: u32, at: Timestamp) {
        if let Some((key, timers)) = self.keys.get_key_value_mut(key) {
            if let Some(place) = timers.get_mut(&timer) {
                place.at = at;
                if at < place.queued_at {
                    self.queue.remove(&(place.queued_at, Arc::clone(key), timer));
                    place.queued_at = at;
                    self.queue.insert((at, Arc::clone(key), timer));
                }
                return;
            }
            timers.insert(timer, Place { at, queued_at: at });
            self.queue.insert((at, Arc::clone(key), timer));
            return;
        }
        let key: Arc<[u8]> = key.into();
        self.keys.insert(Arc::clone(&key), KeyTimers::from([(timer, Place { at, queued_at: at })]));
        self.queue.insert((at, key, timer));
    }

    /// Cancels a timer, if it is set.
    pub fn cancel(&mut self, key: &[u8], timer: u32) {
        let Some((shared, timers)) = self.keys.get_key_value_mut(key) else { return };
        if let Some(place) = timers.remove(&timer) {
            self.queue.remove(&(place.queued_at, Arc::clone(shared), timer));
        }
        if timers.is_empty() {
            self.keys.remove(key);
        }
    }

    /// Removes the timers that are due at `now`, at most `limit` of them, the earliest first, by key within a time.
    pub fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<DueTimer> {
        let mut due = Vec::new();
        while due.len() < limit {
            match self.queue.first() {
                Some((queued_at, ..)) if *queued_at <= now => {}
                _ => break,
            }
            let (queued_at, key, timer) = self.queue.pop_first().expect("it has a first");
            let timers = self.keys.get_mut(&key).expect("a queued timer has a key");
            let place = timers.get_mut(&timer).expect("a queued timer is set");
            if place.at > queued_at {
                place.queued_at = place.at;
                self.queue.insert((place.at, key, timer));
                continue;
            }
            timers.remove(&timer);
            if timers.is_empty() {
                self.keys.remove(&key);
            }
            let hash = KeyHash::of(&key);
            due.push(DueTimer { at: queued_at, key, hash, timer });
        }
        due
    }

    /// No timer is due before this.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, ..)| *at)
    }

    /// How many timers this key has.
    pub fn count(&self, key: &[u8]) -> usize {
        self.keys.get(key).map_or(0, BTreeMap::len)
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn timers_are_a_map_that_gives_what_is_due_in_order(
            steps in prop::collection::vec((0u8..6, 0u32..3, 0i64..100, 0u8..10), 0..300)
        ) {
            let mut timers = Timers::default();
            let mut model: BTreeMap<(Vec<u8>, u32), i64> = BTreeMap::new();
            let mut now = 0;
            for (key, timer, at, step) in steps {
                match step {
                    0..6 => {
                        timers.set(&[key], timer, Timestamp(at));
                        model.insert((vec![key], timer), at);
                    }
                    6..8 => {
                        timers.cancel(&[key], timer);
                        model.remove(&(vec![key], timer));
                    }
                    _ => {
                        now = (now + at / 10).min(100);
                        let due: Vec<_> = timers.take_due(Timestamp(now), usize::MAX).into_iter()
                            .map(|due| (due.at.0, due.key.to_vec(), due.timer)).collect();
                        let mut expected: Vec<_> = model.iter().filter(|(_, at)| **at <= now)
                            .map(|((key, timer), at)| (*at, key.clone(), *timer)).collect();
                        expected.sort();
                        prop_assert_eq!(due, expected);
                        model.retain(|_, at| *at > now);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
            }
        }
    }
}
