//! Rows that need no access to RocksDB: those that were used lately, and those that it has not got yet. Absent keys are
//! remembered too, as empty rows.
//!
//! What goes is chosen by a clock (Corbató: "A Paging Experiment with the Multics System", 1968), many at a time.

use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::Fault;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::row::Row;
use crate::state::sorting::sort_by_group_and_key;
use crate::state::table::{self, Position, Table};

/// About what an entry takes in its table and the table's index, besides long keys and rows.
const ENTRY_BYTES: usize = 88;
/// Keys and rows up to this long stand in their entry.
const INLINE_BYTES: usize = 24;

/// This part of the cache goes at once.
const EVICTED_PART: usize = 64;

/// Since the hand of the clock came by.
const USED: u8 = 1;
/// RocksDB has another row, or none.
const DIRTY: u8 = 2;
/// It has been chosen to go.
const LEAVING: u8 = 4;

pub struct RowCache {
    rows: Table<Row>,
    /// By place.
    marks: Vec<u8>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
    max_parallelism: u16,
    /// Those that RocksDB has not got of the rows that go; reused.
    leaving: Vec<(KeyGroup, KeyHash, Position)>,
}

impl RowCache {
    pub fn new(bytes_max: usize, max_parallelism: u16) -> Self {
        let (rows, marks, leaving) = (Table::default(), Vec::new(), Vec::new());
        Self { rows, marks, hand: 0, bytes: 0, bytes_max, max_parallelism, leaving }
    }

    /// See `table::bring_near`.
    pub fn bring_near(&self, hashes: &[KeyHash], guesses: &mut Vec<Option<Position>>) {
        table::bring_near(|_| &self.rows, hashes, guesses);
    }

    /// See `table::bring_entries_near`.
    pub fn bring_entries_near(&self, positions: &[Position]) {
        table::bring_entries_near(positions.iter().map(|position| (&self.rows, *position)));
    }

    #[inline]
    pub fn find(&mut self, key: &[u8], hash: KeyHash) -> Option<Position> {
        let position = self.rows.find(key, hash)?;
        self.marks[position.index()] |= USED;
        Some(position)
    }

    #[inline]
    pub fn row(&self, position: Position) -> &Row {
        self.rows.get(position)
    }

    /// Places are below this.
    pub fn places(&self) -> usize {
        self.rows.places()
    }

    /// The key at a place, if there is one.
    pub fn at(&self, place: usize) -> Option<(Position, &[u8])> {
        self.rows.at(place).map(|(position, key, _)| (position, key))
    }

    /// A row as RocksDB has it, of a key that is not here.
    pub fn insert(&mut self, key: &[u8], hash: KeyHash, row: Row) -> Position {
        self.bytes += ENTRY_BYTES + heap_bytes(key) + heap_bytes(&row);
        let position = self.rows.insert(key, hash, row);
        if self.marks.len() <= position.index() {
            self.marks.resize(position.index() + 1, 0);
        }
        self.marks[position.index()] = USED;
        position
    }

    /// `change` makes a row one that RocksDB has not got yet.
    #[inline]
    pub fn change(&mut self, position: Position, change: impl FnOnce(&mut Row)) {
        let row = self.rows.get_mut(position);
        self.bytes -= heap_bytes(row);
        change(row);
        self.bytes += heap_bytes(row);
        self.marks[position.index()] |= DIRTY;
    }

    /// Makes room for `keys` more, if it must: `write` gets those of the rows which go that RocksDB has not got, in the
    /// order in which RocksDB has them, which is what it takes fastest.
    pub fn make_room(
        &mut self,
        keys: usize,
        mut write: impl FnMut(KeyGroup, &[u8], &Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.bytes + keys * ENTRY_BYTES <= self.bytes_max {
            return Ok(());
        }
        let room = (self.bytes_max / EVICTED_PART).max(keys * ENTRY_BYTES);
        let wanted = self.bytes_max.saturating_sub(room);
        while self.bytes > wanted && self.rows.len() > self.leaving.len() {
            self.hand = if self.hand + 1 < self.marks.len() { self.hand + 1 } else { 0 };
            let mark = &mut self.marks[self.hand];
            if *mark & (USED | LEAVING) != 0 {
                *mark &= !USED;
                continue;
            }
            let Some((position, key, row)) = self.rows.at(self.hand) else { continue };
            let hash = KeyHash::of(key);
            self.bytes -= ENTRY_BYTES + heap_bytes(key) + heap_bytes(row);
            if std::mem::take(mark) & DIRTY == 0 {
                self.rows.remove(hash, position);
            } else {
                self.leaving.push((hash.group(self.max_parallelism), hash, position));
                *mark = LEAVING;
            }
        }
        let key_of = |position: Position| self.rows.at(position.index()).map_or(&[][..], |(_, key, _)| key);
        sort_by_group_and_key(&mut self.leaving, |(group, ..)| group, |(.., position)| key_of(position));
        for (group, hash, position) in self.leaving.drain(..) {
            if let Some((_, key, row)) = self.rows.at(position.index()) {
                write(group, key, row)?;
            }
            self.marks[position.index()] = 0;
            self.rows.remove(hash, position);
        }
        Ok(())
    }

    /// The rows that RocksDB has not got, as they are now: made in no time, because pages are shared.
    pub fn dirty(&mut self) -> DirtyRows {
        let barrier = Barrier { checkpoint: CheckpointId(1), base: None, overtakes_at: None, stops: false };
        DirtyRows { pages: self.rows.snapshot(&barrier), marks: self.marks.clone() }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn heap_bytes(bytes: &[u8]) -> usize {
    if bytes.len() > INLINE_BYTES { bytes.len() } else { 0 }
}

/// The rows that RocksDB has not got at one moment.
pub struct DirtyRows {
    pages: table::Snapshot<Row>,
    marks: Vec<u8>,
}

impl DirtyRows {
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Row)> {
        let is_dirty = |index: usize| self.marks.get(index).is_some_and(|mark| mark & DIRTY != 0);
        self.pages.entries().filter(move |(index, ..)| is_dirty(*index)).map(|(_, key, row)| (key, row))
    }
}
