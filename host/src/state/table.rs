//! A hash table from encoded keys to values whose snapshots are cheap and do not stop its owner: entries live in
//! pages that a snapshot shares, and a write to a shared page copies that page first.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::key::Keys;
use crate::model::key_group::KeyHash;

use super::index::Index;

/// Entries of a page: small enough that copying one is nothing, large enough that a snapshot's list of pages is short.
const PAGE_ENTRIES: usize = 32;

/// Keys up to this long stand in their entry.
const INLINE_KEY_BYTES: usize = 24;

/// With a value of 32 bytes an entry is one line of the cache, and it begins where the line begins.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Entry<V> {
    key: SmallVec<[u8; INLINE_KEY_BYTES]>,
    value: V,
}

#[derive(Clone, Debug, Default)]
struct Page<V> {
    /// A bit for each entry that counts.
    live: u32,
    entries: [Entry<V>; PAGE_ENTRIES],
}

/// Where an entry is, until the table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u32);

#[derive(Debug)]
pub struct Table<V> {
    index: Index,
    pages: Vec<Arc<Page<V>>>,
    /// Entries of the last page that were ever used.
    last_used: usize,
    /// Positions of entries that were removed.
    free: Vec<u32>,
}

/// The entries of a table at one moment.
#[derive(Debug)]
pub struct Snapshot<V> {
    pages: Vec<Arc<Page<V>>>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { index: Index::default(), pages: Vec::new(), last_used: PAGE_ENTRIES, free: Vec::new() }
    }
}

impl<V: Clone + Default> Table<V> {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Where a key with this hash probably is. Asked for many keys in a row before any of them is looked up, this and
    /// `touch` let the processor wait for many lines of memory at once.
    #[inline]
    pub fn guess(&self, hash: KeyHash) -> Option<Position> {
        self.index.guess(hash).map(Position)
    }

    /// Brings the entry near. What it returns means nothing.
    #[inline]
    pub fn touch(&self, position: Position) -> usize {
        let (page, slot) = split(position.0);
        let page = &self.pages[page];
        Arc::strong_count(page) ^ page.entries[slot].key.len()
    }

    /// Where key `i` of `keys` is.
    #[inline]
    pub fn find(&self, keys: &Keys, i: usize) -> Option<Position> {
        let key = keys.get(i);
        let is_key = |at| {
            let (page, slot) = split(at);
            self.pages[page].entries[slot].key.as_slice() == key
        };
        self.index.find(keys.hash(i), is_key).map(Position)
    }

    #[inline]
    pub fn get(&self, position: Position) -> &V {
        let (page, slot) = split(position.0);
        &self.pages[page].entries[slot].value
    }

    #[inline]
    pub fn get_mut(&mut self, position: Position) -> &mut V {
        let (page, slot) = split(position.0);
        &mut Arc::make_mut(&mut self.pages[page]).entries[slot].value
    }

    /// The key must not be there.
    pub fn insert(&mut self, keys: &Keys, i: usize, value: V) -> Position {
        let at = self.free.pop().unwrap_or_else(|| self.unused());
        let (page, slot) = split(at);
        let page = Arc::make_mut(&mut self.pages[page]);
        page.live |= 1 << slot;
        page.entries[slot] = Entry { key: SmallVec::from_slice(keys.get(i)), value };
        self.index.insert(keys.hash(i), at);
        Position(at)
    }

    /// A position that no entry has had.
    fn unused(&mut self) -> u32 {
        if self.last_used == PAGE_ENTRIES {
            self.pages.push(Arc::default());
            self.last_used = 0;
        }
        self.last_used += 1;
        ((self.pages.len() - 1) * PAGE_ENTRIES + self.last_used - 1) as u32
    }

    /// Forgets key `i` of `keys`, which is at `position`.
    pub fn remove(&mut self, keys: &Keys, i: usize, position: Position) {
        let (page, slot) = split(position.0);
        let page = Arc::make_mut(&mut self.pages[page]);
        page.live &= !(1 << slot);
        page.entries[slot] = Entry::default();
        self.index.remove(keys.hash(i), position.0);
        self.free.push(position.0);
    }

    pub fn snapshot(&self) -> Snapshot<V> {
        Snapshot { pages: self.pages.clone() }
    }
}

impl<V> Snapshot<V> {
    /// In no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        let live = |page: &Page<V>, slot: usize| page.live >> slot & 1 == 1;
        self.pages.iter().flat_map(move |page| {
            let entries = page.entries.iter().enumerate().filter(move |(slot, _)| live(page, *slot));
            entries.map(|(_, entry)| (entry.key.as_slice(), &entry.value))
        })
    }
}

#[inline]
fn split(at: u32) -> (usize, usize) {
    (at as usize / PAGE_ENTRIES, at as usize % PAGE_ENTRIES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn contents(snapshot: &Snapshot<u32>) -> BTreeMap<Vec<u8>, u32> {
        snapshot.iter().map(|(key, value)| (key.to_vec(), *value)).collect()
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_and_its_snapshots_do_not_change(
            steps in prop::collection::vec((0u16..300, prop::option::of(any::<u32>()), any::<bool>()), 0..600)
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            let mut snapshots = Vec::new();
            for (key, value, snapshot) in steps {
                let mut keys = Keys::default();
                keys.push(&key.to_be_bytes(), KeyHash::of(&key.to_be_bytes()));
                match (table.find(&keys, 0), value) {
                    (Some(at), Some(value)) => *table.get_mut(at) = value,
                    (None, Some(value)) => { table.insert(&keys, 0, value); }
                    (Some(at), None) => table.remove(&keys, 0, at),
                    (None, None) => {}
                }
                match value {
                    Some(value) => model.insert(key.to_be_bytes().to_vec(), value),
                    None => model.remove(key.to_be_bytes().as_slice()),
                };
                if snapshot && snapshots.len() < 10 {
                    snapshots.push((table.snapshot(), model.clone()));
                }
                prop_assert_eq!(table.len(), model.len());
            }
            prop_assert_eq!(contents(&table.snapshot()), model);
            for (snapshot, model) in snapshots {
                prop_assert_eq!(contents(&snapshot), model);
            }
        }
    }
}
