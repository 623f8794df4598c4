//! A hash table from encoded keys to values whose snapshots are cheap and do not stop its owner: entries live in
//! pages that a snapshot shares, and a write to a shared page copies that page first.

mod near;

pub use near::{NEAR_KEYS, bring_entries_near, bring_near};

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::checkpoint::Barrier;
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

/// The default one has no entries: it is what is left where a page was taken away.
#[derive(Clone, Debug, Default)]
struct Page<V> {
    /// A bit for each entry that counts.
    live: u32,
    entries: Box<[Entry<V>]>,
}

/// A page as its table has it.
#[derive(Debug)]
struct HeldPage<V> {
    /// It was last written after the snapshot for this checkpoint; 0 = before any.
    changed_since: u64,
    hold: Hold<V>,
}

/// A page that is written again and again must not ask each time whether a snapshot has it: that is a locked operation,
/// which waits for all writes before it, each of them far away.
#[derive(Debug)]
enum Hold<V> {
    Alone(Page<V>),
    /// A snapshot has it too, or had.
    Shared(Arc<Page<V>>),
}

/// Where an entry is, until the table changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(u32);

impl Position {
    /// Counted from 0 in the order in which places were first used.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
pub struct Table<V> {
    index: Index,
    pages: Vec<HeldPage<V>>,
    /// Entries of the last page that were ever used.
    last_used: usize,
    /// Positions of entries that were removed.
    free: Vec<u32>,
    /// The last checkpoint that a snapshot was made for; 0 = none was.
    snapshot_made: u64,
}

/// Pages of a table at one moment, with their numbers.
#[derive(Debug)]
pub struct Snapshot<V> {
    pages: Vec<(u64, Arc<Page<V>>)>,
}

impl<V: Clone + Default> Page<V> {
    fn new() -> Self {
        Self { live: 0, entries: vec![Entry::default(); PAGE_ENTRIES].into() }
    }

    /// The entries that count, with their places.
    fn live(&self) -> impl Iterator<Item = (usize, &[u8], &V)> {
        let live = self.entries.iter().enumerate().filter(|(slot, _)| self.live >> slot & 1 == 1);
        live.map(|(slot, entry)| (slot, entry.key.as_slice(), &entry.value))
    }
}

impl<V: Clone + Default> HeldPage<V> {
    #[inline]
    fn page(&self) -> &Page<V> {
        match &self.hold {
            Hold::Alone(page) => page,
            Hold::Shared(page) => page,
        }
    }

    /// To be written: a copy, if a snapshot has it too.
    #[inline]
    fn alone(&mut self) -> &mut Page<V> {
        match self.hold {
            Hold::Alone(ref mut page) => page,
            Hold::Shared(ref mut shared) => {
                let page = Arc::get_mut(shared).map(std::mem::take);
                self.hold = Hold::Alone(page.unwrap_or_else(|| Page::clone(shared)));
                self.alone()
            }
        }
    }

    fn share(&mut self) -> Arc<Page<V>> {
        match &mut self.hold {
            Hold::Alone(page) => {
                let shared = Arc::new(std::mem::take(page));
                self.hold = Hold::Shared(Arc::clone(&shared));
                shared
            }
            Hold::Shared(shared) => Arc::clone(shared),
        }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { index: Index::default(), pages: Vec::new(), last_used: PAGE_ENTRIES, free: Vec::new(), snapshot_made: 0 }
    }
}

impl<V: Clone + Default> Table<V> {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Where a key is; `hash` is its.
    #[inline]
    pub fn find(&self, key: &[u8], hash: KeyHash) -> Option<Position> {
        self.index.find(hash, |at| self.entry(at).key.as_slice() == key).map(Position)
    }

    #[inline]
    pub fn get(&self, position: Position) -> &V {
        &self.entry(position.0).value
    }

    #[inline]
    fn entry(&self, at: u32) -> &Entry<V> {
        let (page, slot) = split(at);
        &self.pages[page].page().entries[slot]
    }

    #[inline]
    pub fn get_mut(&mut self, position: Position) -> &mut V {
        let (page, slot) = split(position.0);
        &mut self.page_mut(page).entries[slot].value
    }

    #[inline]
    fn page_mut(&mut self, page: usize) -> &mut Page<V> {
        let page = &mut self.pages[page];
        // Most often nothing changes, and then nothing has to be written to memory that is far away.
        if page.changed_since != self.snapshot_made {
            page.changed_since = self.snapshot_made;
        }
        page.alone()
    }

    /// The entry at a place, if there is one.
    pub fn at(&self, index: usize) -> Option<(Position, &[u8], &V)> {
        let page = self.pages.get(index / PAGE_ENTRIES)?.page();
        let slot = index % PAGE_ENTRIES;
        let entry = &page.entries[slot];
        (page.live >> slot & 1 == 1).then(|| (Position(index as u32), entry.key.as_slice(), &entry.value))
    }

    /// The key must not be there.
    pub fn insert(&mut self, key: &[u8], hash: KeyHash, value: V) -> Position {
        let at = self.free.pop().unwrap_or_else(|| self.unused());
        let (page, slot) = split(at);
        let page = self.page_mut(page);
        page.live |= 1 << slot;
        page.entries[slot] = Entry { key: SmallVec::from_slice(key), value };
        self.index.insert(hash, at);
        Position(at)
    }

    /// Places are below this.
    pub fn places(&self) -> usize {
        self.pages.len() * PAGE_ENTRIES
    }

    /// A position that no entry has had.
    fn unused(&mut self) -> u32 {
        if self.last_used == PAGE_ENTRIES {
            self.pages.push(HeldPage { changed_since: self.snapshot_made, hold: Hold::Alone(Page::new()) });
            self.last_used = 0;
        }
        self.last_used += 1;
        ((self.pages.len() - 1) * PAGE_ENTRIES + self.last_used - 1) as u32
    }

    /// Forgets the key with this hash that is at `position`.
    pub fn remove(&mut self, hash: KeyHash, position: Position) {
        let (page, slot) = split(position.0);
        let page = self.page_mut(page);
        page.live &= !(1 << slot);
        page.entries[slot] = Entry::default();
        self.index.remove(hash, position.0);
        self.free.push(position.0);
    }

    /// The table as it is now, for this barrier: all of it, or the pages that have changed since its base.
    pub fn snapshot(&mut self, barrier: &Barrier) -> Snapshot<V> {
        self.snapshot_made = barrier.checkpoint.0;
        let pages = self.pages.iter_mut().zip(0u64..);
        let wanted = pages.filter(|(page, _)| barrier.base.is_none_or(|base| page.changed_since >= base.0));
        Snapshot { pages: wanted.map(|(page, number)| (number, page.share())).collect() }
    }
}

impl<V: Clone + Default> Snapshot<V> {
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Each page with its entries, in no order that means anything; a page may have none left.
    pub fn pages(&self) -> impl Iterator<Item = (u64, impl Iterator<Item = (&[u8], &V)>)> {
        self.pages.iter().map(|(number, page)| (*number, page.live().map(|(_, key, value)| (key, value))))
    }

    /// Each entry with the index of its place.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &[u8], &V)> {
        self.pages.iter().flat_map(|(number, page)| {
            let first = *number as usize * PAGE_ENTRIES;
            page.live().map(move |(slot, key, value)| (first + slot, key, value))
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
    use crate::model::checkpoint::CheckpointId;

    type Pages = BTreeMap<u64, BTreeMap<Vec<u8>, u32>>;

    /// Puts the pages of a snapshot over those of its base.
    fn apply(snapshot: &Snapshot<u32>, pages: &mut Pages) {
        for (number, entries) in snapshot.pages() {
            pages.insert(number, entries.map(|(key, value)| (key.to_vec(), *value)).collect());
        }
    }

    fn flat(pages: &Pages) -> BTreeMap<Vec<u8>, u32> {
        pages.values().flatten().map(|(key, value)| (key.clone(), *value)).collect()
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_and_its_snapshots_do_not_change(
            steps in prop::collection::vec((0u16..300, prop::option::of(any::<u32>()), 0u8..9), 0..600)
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            let (mut snapshots, mut last, mut since) = (Vec::new(), 0, Pages::new());
            let barrier = |checkpoint, base| Barrier { checkpoint: CheckpointId(checkpoint), base, overtakes_at: None, stops: false };
            for (key, value, snapshot) in steps {
                let key = key.to_be_bytes();
                let hash = KeyHash::of(&key);
                match (table.find(&key, hash), value) {
                    (Some(at), Some(value)) => *table.get_mut(at) = value,
                    (None, Some(value)) => { table.insert(&key, hash, value); }
                    (Some(at), None) => table.remove(hash, at),
                    (None, None) => {}
                }
                match value {
                    Some(value) => model.insert(key.to_vec(), value),
                    None => model.remove(key.as_slice()),
                };
                if snapshot == 0 {
                    // The first is whole; each of the others holds what changed since the one before.
                    let made = table.snapshot(&barrier(last + 1, (last > 0).then_some(CheckpointId(last))));
                    apply(&made, &mut since);
                    prop_assert_eq!(&flat(&since), &model);
                    snapshots.push((made, since.clone()));
                    last += 1;
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let mut all = Pages::new();
            apply(&table.snapshot(&barrier(last + 1, None)), &mut all);
            prop_assert_eq!(flat(&all), model);
            let mut again = Pages::new();
            for (snapshot, then) in snapshots {
                apply(&snapshot, &mut again);
                prop_assert_eq!(&again, &then);
            }
        }
    }
}
