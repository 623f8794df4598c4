//! An ordered map of byte strings whose snapshots are cheap and do not stop its owner: entries live in leaves that a
//! snapshot shares, and a write to a shared leaf copies that leaf first. A leaf keeps its number for as long as it lives,
//! so a later snapshot can leave out those that have not changed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::checkpoint::Barrier;

/// A leaf with more is split, unless it has one entry: copying one is little, and so is what an incremental snapshot
/// writes for one changed entry.
const LEAF_BYTES_MAX: usize = 16 << 10;

/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: usize = 64;

pub type Bytes = Arc<[u8]>;

#[derive(Clone, Debug, Default)]
pub struct Leaf {
    /// It was last written after the snapshot for this checkpoint; 0 = before any.
    changed_since: u64,
    bytes: usize,
    /// In order.
    entries: Vec<(Bytes, Bytes)>,
}

/// A leaf and its number.
type Numbered = (u64, Arc<Leaf>);

#[derive(Debug, Default)]
pub struct OrderedMap {
    /// Each leaf by its inclusive lower bound: it has all entries from there up to the next leaf's.
    leaves: BTreeMap<Box<[u8]>, Numbered>,
    len: usize,
    next_number: u64,
    /// The last checkpoint that a snapshot was made for; 0 = none was.
    snapshot_made: u64,
    /// Numbers of leaves that have gone, each after the snapshot for a checkpoint.
    gone: Vec<(u64, u64)>,
}

/// Leaves of a map at one moment, with their numbers; none = it has gone.
#[derive(Debug)]
pub struct Snapshot {
    pub leaves: Vec<(u64, Option<Arc<Leaf>>)>,
}

impl Leaf {
    pub fn entries(&self) -> &[(Bytes, Bytes)] {
        &self.entries
    }

    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| (**other).cmp(key))
    }
}

fn bytes_of(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl OrderedMap {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (_, (_, leaf)) = self.leaves.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        leaf.find(key).ok().map(|at| &*leaf.entries[at].1)
    }

    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        let since = self.snapshot_made;
        let next_number = &mut self.next_number;
        let mut found = self.leaves.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        let leaf = match found.next_back() {
            Some((_, (_, leaf))) => leaf,
            None => {
                let number = *next_number;
                *next_number += 1;
                &mut self.leaves.entry(Box::default()).or_insert_with(|| (number, Arc::default())).1
            }
        };
        let leaf = Arc::make_mut(leaf);
        leaf.changed_since = since;
        leaf.bytes += bytes_of(key, value);
        match leaf.find(key) {
            Ok(at) => {
                leaf.bytes -= bytes_of(key, &leaf.entries[at].1);
                leaf.entries[at].1 = value.into();
            }
            Err(at) => {
                leaf.entries.insert(at, (key.into(), value.into()));
                self.len += 1;
            }
        }
        if leaf.bytes > LEAF_BYTES_MAX && leaf.entries.len() > 1 {
            let right = split(leaf);
            let from = right.entries[0].0.as_ref().into();
            self.leaves.insert(from, (self.next_number, Arc::new(right)));
            self.next_number += 1;
        }
    }

    pub fn remove(&mut self, key: &[u8]) {
        let mut found = self.leaves.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        let Some((from, (number, leaf))) = found.next_back() else { return };
        let Ok(at) = leaf.find(key) else { return };
        let leaf = Arc::make_mut(leaf);
        leaf.changed_since = self.snapshot_made;
        let (_, value) = leaf.entries.remove(at);
        leaf.bytes -= bytes_of(key, &value);
        self.len -= 1;
        if leaf.entries.is_empty() {
            // Nobody knows of it before there was a snapshot.
            if self.snapshot_made > 0 {
                self.gone.push((*number, self.snapshot_made));
            }
            let from = from.clone();
            self.leaves.remove(&from);
        }
    }

    /// The entries of a range, in order.
    pub fn range<'a>(
        &'a self,
        (start, end): (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> {
        let first = match start {
            Bound::Unbounded => None,
            Bound::Included(start) | Bound::Excluded(start) => {
                self.leaves.range::<[u8], _>((Bound::Unbounded, Bound::Included(start))).next_back()
            }
        };
        let first = first.map_or(Bound::Unbounded, |(from, _)| Bound::Included(&**from));
        let leaves = self.leaves.range::<[u8], _>((first, Bound::Unbounded)).map(|(_, (_, leaf))| leaf);
        let before_start = move |key: &[u8]| match start {
            Bound::Unbounded => false,
            Bound::Included(start) => key < start,
            Bound::Excluded(start) => key <= start,
        };
        let before_end = move |key: &[u8]| match end {
            Bound::Unbounded => true,
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
        };
        let entries = leaves.flat_map(move |leaf| {
            let skipped = leaf.entries.partition_point(|(key, _)| before_start(key));
            &leaf.entries[skipped..]
        });
        entries.take_while(move |(key, _)| before_end(key)).map(|(key, value)| (key, value))
    }

    /// The last key that begins with `prefix`.
    pub fn last_with(&self, prefix: &[u8], behind: Option<&[u8]>) -> Option<&[u8]> {
        let end = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let mut leaves = self.leaves.range::<[u8], _>((Bound::Unbounded, end)).rev();
        // A leaf may have lost its first entries, and what is left may lie past the end.
        let (key, _) = leaves.find_map(|(_, (_, leaf))| {
            let before = leaf.entries.partition_point(|(key, _)| behind.is_none_or(|behind| **key < *behind));
            leaf.entries.get(before.checked_sub(1)?)
        })?;
        key.starts_with(prefix).then_some(&**key)
    }

    /// The map as it is now, for this barrier: all of it, or the leaves that have changed since its base.
    pub fn snapshot(&mut self, barrier: &Barrier) -> Snapshot {
        self.snapshot_made = barrier.checkpoint.0;
        let base = barrier.base.map(|base| base.0);
        let changed = self.leaves.values().filter(|(_, leaf)| base.is_none_or(|base| leaf.changed_since >= base));
        let mut leaves: Vec<_> = changed.map(|(number, leaf)| (*number, Some(Arc::clone(leaf)))).collect();
        // Bases only grow: what went before this one is in no snapshot to come.
        self.gone.retain(|(_, since)| base.is_some_and(|base| *since >= base));
        leaves.extend(self.gone.iter().map(|(number, _)| (*number, None)));
        Snapshot { leaves }
    }
}

/// Leaves the first half of the bytes; returns the rest.
fn split(leaf: &mut Leaf) -> Leaf {
    let (mut left, mut at) = (0, 0);
    while at + 1 < leaf.entries.len() && (at == 0 || left < leaf.bytes / 2) {
        left += bytes_of(&leaf.entries[at].0, &leaf.entries[at].1);
        at += 1;
    }
    let right =
        Leaf { changed_since: leaf.changed_since, bytes: leaf.bytes - left, entries: leaf.entries.split_off(at) };
    leaf.bytes = left;
    right
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::checkpoint::CheckpointId;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn all(map: &OrderedMap) -> Model {
        map.range((Bound::Unbounded, Bound::Unbounded)).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u8, usize),
        Remove(u8, u8),
        Range(u8, u8, bool),
        Snapshot,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0u8..4, any::<u8>(), 0usize..6_000).prop_map(|(a, b, bytes)| Step::Put(a, b, bytes)),
            3 => (0u8..4, any::<u8>()).prop_map(|(a, b)| Step::Remove(a, b)),
            1 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(from, to, open)| Step::Range(from, to, open)),
            1 => Just(Step::Snapshot),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        /// It is a map; and each snapshot, laid over those before, is the map at its barrier.
        #[test]
        fn a_map_in_leaves_is_a_map_and_so_are_its_snapshots(steps in steps()) {
            let (mut map, mut model) = (OrderedMap::default(), Model::new());
            let mut durable: BTreeMap<u64, Vec<(Bytes, Bytes)>> = BTreeMap::new();
            let mut checkpoint = 0;
            for step in steps {
                match step {
                    Step::Put(a, b, bytes) => {
                        map.insert(&[a, b], &vec![b; bytes]);
                        model.insert(vec![a, b], vec![b; bytes]);
                    }
                    Step::Remove(a, b) => {
                        map.remove(&[a, b]);
                        model.remove(&vec![a, b]);
                    }
                    Step::Range(from, to, open) => {
                        let (from, to) = ([1, from.min(to)], [1, from.max(to)]);
                        let bound = |key| if open { Bound::Excluded(key) } else { Bound::Included(key) };
                        let found: Vec<_> = map.range((bound(&from[..]), bound(&to[..]))).map(|(k, _)| k.to_vec()).collect();
                        let inside = |key: &&Vec<u8>| {
                            let key = key.as_slice();
                            key >= &from[..] && key <= &to[..] && !(open && (key == from || key == to))
                        };
                        prop_assert_eq!(found, model.keys().filter(inside).cloned().collect::<Vec<_>>());
                        let last = model.keys().rfind(|key| key[0] == 1).map(|key| &key[..]);
                        prop_assert_eq!(map.last_with(&[1], Some(&[2])), last);
                    }
                    Step::Snapshot => {
                        checkpoint += 1;
                        let base = (checkpoint > 1).then_some(CheckpointId(checkpoint - 1));
                        let made = map.snapshot(&Barrier { checkpoint: CheckpointId(checkpoint), base, overtakes_at: None, stops: false });
                        for (number, leaf) in made.leaves {
                            match leaf {
                                Some(leaf) => drop(durable.insert(number, leaf.entries().to_vec())),
                                None => drop(durable.remove(&number)),
                            }
                        }
                        let durable: Model = durable.values().flatten().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
                        prop_assert_eq!(&durable, &model);
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert_eq!(all(&map), model);
        }
    }
}
