//! A hash table from encoded keys to values whose snapshots are cheap and do not stop its owner: entries live in
//! pages that a snapshot shares, and a write to a shared page copies that page first.

use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::model::key::Keys;
use crate::model::key_group::KeyHash;

/// Entries of a page: small enough that copying one is nothing, large enough that a snapshot's list of pages is short.
const PAGE_ENTRIES: usize = 32;

/// Keys up to this long stand in their entry.
const INLINE_KEY_BYTES: usize = 24;

#[derive(Clone, Debug)]
struct Entry<V> {
    hash: KeyHash,
    key: SmallVec<[u8; INLINE_KEY_BYTES]>,
    value: V,
}

type Page<V> = Vec<Option<Entry<V>>>;

/// Where an entry is, until the table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u32);

#[derive(Debug)]
pub struct Table<V> {
    index: HashTable<u32>,
    pages: Vec<Arc<Page<V>>>,
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
        Self { index: HashTable::new(), pages: Vec::new(), free: Vec::new() }
    }
}

impl<V: Clone> Table<V> {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Where key `i` of `keys` is.
    #[inline]
    pub fn find(&self, keys: &Keys, i: usize) -> Option<Position> {
        let (key, hash) = (keys.get(i), keys.hash(i));
        let found = self.index.find(index_hash(hash), |at| {
            let entry = entry(&self.pages, *at);
            entry.hash == hash && entry.key.as_slice() == key
        });
        found.map(|at| Position(*at))
    }

    #[inline]
    pub fn get(&self, position: Position) -> &V {
        &entry(&self.pages, position.0).value
    }

    #[inline]
    pub fn get_mut(&mut self, position: Position) -> &mut V {
        let (page, at) = split(position.0);
        let entry = Arc::make_mut(&mut self.pages[page])[at].as_mut();
        &mut entry.expect("a position is of an entry").value
    }

    /// The key must not be there.
    pub fn insert(&mut self, keys: &Keys, i: usize, value: V) -> Position {
        let hash = keys.hash(i);
        let entry = Entry { hash, key: SmallVec::from_slice(keys.get(i)), value };
        let at = match self.free.pop() {
            Some(at) => {
                let (page, slot) = split(at);
                Arc::make_mut(&mut self.pages[page])[slot] = Some(entry);
                at
            }
            None => self.append(entry),
        };
        let pages = &self.pages;
        self.index.insert_unique(index_hash(hash), at, |at| index_hash(self::entry(pages, *at).hash));
        Position(at)
    }

    fn append(&mut self, entry: Entry<V>) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE_ENTRIES) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE_ENTRIES)));
        }
        let page = self.pages.len() - 1;
        let entries = Arc::make_mut(&mut self.pages[page]);
        entries.push(Some(entry));
        (page * PAGE_ENTRIES + entries.len() - 1) as u32
    }

    pub fn remove(&mut self, position: Position) {
        let (page, slot) = split(position.0);
        let removed = Arc::make_mut(&mut self.pages[page])[slot].take().expect("a position is of an entry");
        if let Ok(found) = self.index.find_entry(index_hash(removed.hash), |at| *at == position.0) {
            found.remove();
        }
        self.free.push(position.0);
    }

    pub fn snapshot(&self) -> Snapshot<V> {
        Snapshot { pages: self.pages.clone() }
    }
}

impl<V> Snapshot<V> {
    /// In no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.pages.iter().flat_map(|page| page.iter().flatten()).map(|entry| (entry.key.as_slice(), &entry.value))
    }
}

/// The index tells entries apart by the highest bits of a hash before it looks at them, and in the table of a key
/// group those bits of the keys' hashes are all the same.
#[inline]
fn index_hash(hash: KeyHash) -> u64 {
    hash.0.rotate_left(32)
}

#[inline]
fn split(at: u32) -> (usize, usize) {
    (at as usize / PAGE_ENTRIES, at as usize % PAGE_ENTRIES)
}

#[inline]
fn entry<V>(pages: &[Arc<Page<V>>], at: u32) -> &Entry<V> {
    let (page, slot) = split(at);
    pages[page][slot].as_ref().expect("the index names entries")
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
                    (Some(at), None) => table.remove(at),
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
