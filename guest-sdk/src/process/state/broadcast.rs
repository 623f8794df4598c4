//! A map of each slot, the same in all of them.

use super::entries::AnyEntries;
use super::map::{MapEntries, MapKey};
use crate::process::Process;
use crate::process::broadcast::{BroadcastContext, ReadsBroadcast};
use crate::value::Data;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// Broadcast state: a map of each slot, ordered by its keys, declared with [`Open::broadcast_map`](crate::Open::broadcast_map).
/// It is read with every event and timer, and written only by [`Broadcast::on_broadcast`](crate::Broadcast::on_broadcast).
///
/// The entries stay with the host, in memory, within a limit of the job. What has been read stays with the instance until
/// a broadcast row writes: up to 4,096 entries are taken along with the first read, so events cost no call of the host as
/// long as the map has no more. Of a larger one each key is asked for once.
#[derive(Debug)]
pub struct BroadcastMap<K, V> {
    /// which of the states with entries it is
    number: usize,
    of: PhantomData<fn() -> (K, V)>,
}

/// All groups of a call share it.
const SLOT: u32 = 0;

impl<K: MapKey, V: Data> BroadcastMap<K, V> {
    pub(in crate::process) fn new(number: usize) -> Self {
        Self { number, of: PhantomData }
    }

    /// The value of an entry.
    pub fn get<C: ReadsBroadcast>(&self, cx: &mut C, key: &K) -> Option<V> {
        self.entries(cx).get(SLOT, key).map(|mut bytes| V::decode(&mut bytes))
    }

    /// Whether there is an entry.
    pub fn contains<C: ReadsBroadcast>(&self, cx: &mut C, key: &K) -> bool {
        self.entries(cx).get(SLOT, key).is_some()
    }

    /// All entries in the order of their keys, as they are now.
    pub fn iter<C: ReadsBroadcast>(&self, cx: &mut C) -> impl Iterator<Item = (K, V)> + use<C, K, V> {
        self.range(cx, ..)
    }

    /// The entries of a range of keys, in their order, as they are now.
    pub fn range<C: ReadsBroadcast, R: RangeBounds<K>>(
        &self,
        cx: &mut C,
        range: R,
    ) -> impl Iterator<Item = (K, V)> + use<C, R, K, V> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let found = self.entries(cx).range(SLOT, &bounds);
        found.into_iter().map(|(key, bytes)| (key, V::decode(&mut &*bytes)))
    }

    /// The first entry of a range of keys.
    pub fn first<C: ReadsBroadcast>(&self, cx: &mut C, range: impl RangeBounds<K>) -> Option<(K, V)> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let (key, bytes) = self.entries(cx).first(SLOT, &bounds)?;
        Some((key, V::decode(&mut &*bytes)))
    }

    /// Gives an entry a value.
    pub fn insert<P: Process>(&self, cx: &mut BroadcastContext<'_, P>, key: K, value: V) {
        let row = cx.row();
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        self.entries(cx).write(SLOT, row, key, Some(bytes));
    }

    /// Removes an entry, if there is one.
    pub fn remove<P: Process>(&self, cx: &mut BroadcastContext<'_, P>, key: &K) {
        let row = cx.row();
        self.entries(cx).write(SLOT, row, key.clone(), None);
    }

    /// Removes all entries.
    pub fn clear<P: Process>(&self, cx: &mut BroadcastContext<'_, P>) {
        let row = cx.row();
        self.entries(cx).clear(SLOT, row);
    }

    fn entries<'c, C: ReadsBroadcast>(&self, cx: &'c mut C) -> &'c mut MapEntries<K> {
        cx.broadcast_states().of(self.number)
    }
}

/// The states with entries of an operator.
pub struct BroadcastStates<'c> {
    entries: &'c mut [Box<dyn AnyEntries>],
}

impl<'c> BroadcastStates<'c> {
    pub(in crate::process) fn new(entries: &'c mut [Box<dyn AnyEntries>]) -> Self {
        Self { entries }
    }

    fn of<K: MapKey>(self, number: usize) -> &'c mut MapEntries<K> {
        self.entries[number].as_any().downcast_mut().expect("a state of this operator")
    }
}
