//! Windows larger than memory: when the panes take more than a bound, the oldest go to a store, group by group. Rows that
//! come later begin a pane anew in memory; both parts are merged when the pane goes to the store again, and when a
//! window fires. So no event waits for the store, and what is there of a key is one entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::Conversions;
use crate::state::snapshot::{ChunkSource, Frozen};
use crate::state::sorting::sort_by_key;
use crate::state::spill::SpillStore;

use super::aggregates::{Aggregates, Cells, Panes, Part, Table, read_former_group, read_group, write_group};
use super::plugin::CALL_ROWS_MAX;

/// What is read at a time when accumulators are made today's.
const CONVERTED_BYTES_MAX: usize = 1 << 20;

/// A pane is measured anew when it has got this part of its groups in rows.
const MEASURED_PART: usize = 16;

pub struct Spill {
    store: Box<dyn SpillStore>,
    max_parallelism: u16,
    /// Of the panes in memory.
    bytes_max: usize,
    /// Panes with groups in the store.
    spilled: BTreeSet<i64>,
    /// What panes took in memory when they were measured.
    measured: BTreeMap<i64, Measured>,
    /// Of all of them.
    bytes: usize,
}

#[derive(Default)]
struct Measured {
    bytes: usize,
    /// That came since.
    rows: usize,
}

impl Spill {
    pub fn new(store: Box<dyn SpillStore>, max_parallelism: u16, bytes_max: usize) -> Self {
        Self { store, max_parallelism, bytes_max, spilled: BTreeSet::new(), measured: BTreeMap::new(), bytes: 0 }
    }

    /// Whether a pane of these has groups in the store.
    pub fn holds_any(&self, panes: Range<i64>) -> bool {
        self.spilled.range(panes).next().is_some()
    }

    pub fn holds(&self, pane: i64) -> bool {
        self.spilled.contains(&pane)
    }

    pub fn groups(&self) -> impl Iterator<Item = KeyGroup> + use<> {
        self.store.groups().map(KeyGroup)
    }

    /// A pane has got rows.
    pub fn added(&mut self, number: i64, rows: usize, pane: &Table) {
        let measured = self.measured.entry(number).or_default();
        measured.rows += rows;
        if measured.rows >= pane.len() / MEASURED_PART {
            let bytes = pane.bytes();
            self.bytes = self.bytes - measured.bytes + bytes;
            *measured = Measured { bytes, rows: 0 };
        }
    }

    /// Whether panes must leave memory.
    pub fn is_over(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Moves the oldest panes, which get the fewest rows, to the store, until half of the room is free.
    pub fn make_room(&mut self, panes: &mut Panes, aggregates: &mut Aggregates) -> Result<(), Fault> {
        while self.bytes > self.bytes_max / 2
            && let Some((number, measured)) = self.measured.pop_first()
        {
            self.bytes -= measured.bytes;
            if let Some(pane) = panes.get_mut(&number) {
                self.spill(number, pane, aggregates)?;
            }
        }
        self.store.write()
    }

    /// Moves a pane to the store.
    fn spill(&mut self, number: i64, pane: &mut Arc<Table>, aggregates: &mut Aggregates) -> Result<(), Fault> {
        let pane = std::mem::replace(pane, Arc::new(aggregates.table()));
        let keys = pane.index.keys();
        let group = |row: u32| keys.hash(row as usize).group(self.max_parallelism);
        let mut rows: Vec<u32> = (0..keys.len() as u32).collect();
        rows.sort_by_key(|row| group(*row));
        rows.chunk_by_mut(|a, b| group(*a) == group(*b))
            .for_each(|rows| sort_by_key(rows, |row| keys.get(row as usize)));
        let is_new = self.spilled.insert(number);
        let mut value = Vec::new();
        for rows in rows.chunks(CALL_ROWS_MAX) {
            let merged = if is_new { None } else { Some(self.merge(number, &pane, rows, aggregates)?) };
            for (place, row) in (0..).zip(rows) {
                value.clear();
                match &merged {
                    Some(columns) => write_group(columns, place, &mut value),
                    None => write_group(&pane.columns, *row, &mut value),
                }
                self.store.put(number, keys.get(*row as usize), keys.hash(*row as usize), &value)?;
            }
        }
        Ok(())
    }

    /// Rows of a pane, merged with what the store has of their keys.
    fn merge(
        &mut self,
        number: i64,
        pane: &Table,
        rows: &[u32],
        aggregates: &mut Aggregates,
    ) -> Result<Vec<Cells>, Fault> {
        let mut keys = Keys::default();
        rows.iter()
            .for_each(|row| keys.push(pane.index.keys().get(*row as usize), pane.index.keys().hash(*row as usize)));
        let (stored, into) = self.load(number, &keys, aggregates.columns())?;
        let from: Vec<u32> = (0..into.len() as u32).collect();
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let parts = [
            Part { columns: &stored, from: &from, into: &into },
            Part { columns: &pane.columns, from: rows, into: &all },
        ];
        Ok(aggregates.merge(&parts, rows.len()))
    }

    /// What the store has of `keys` in a pane, appended to `columns`, and for each the number of its key.
    pub fn load(&mut self, pane: i64, keys: &Keys, mut columns: Vec<Cells>) -> Result<(Vec<Cells>, Vec<u32>), Fault> {
        let mut into = Vec::new();
        self.store.get(pane, keys, &mut |key, value| {
            into.push(key as u32);
            read_group(&mut columns, value)
        })?;
        Ok((columns, into))
    }

    /// See `SpillStore::page`.
    pub fn page(
        &mut self,
        pane: i64,
        group: KeyGroup,
        after: Option<&[u8]>,
        bytes_max: usize,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        self.store.page(pane, group, after, bytes_max, &mut take)
    }

    /// Panes before this one are gone.
    pub fn forget_before(&mut self, pane: i64) {
        while let Some(entry) = self.measured.first_entry().filter(|entry| *entry.key() < pane) {
            self.bytes -= entry.remove().bytes;
        }
        if self.spilled.first().is_some_and(|first| *first < pane) {
            self.spilled = self.spilled.split_off(&pane);
            self.store.forget_before(pane);
        }
    }

    /// What the store has, if it has something. In the form that every backend reads a pane is in the store or in
    /// memory, not in both.
    pub fn snapshot(
        &mut self,
        barrier: &Barrier,
        panes: &mut Panes,
        aggregates: &mut Aggregates,
    ) -> Result<Option<Box<dyn Frozen>>, Fault> {
        if self.spilled.is_empty() {
            return Ok(None);
        }
        if !self.store.is_native() {
            for number in self.spilled.clone() {
                if let Some(pane) = panes.get_mut(&number).filter(|pane| pane.len() > 0) {
                    self.bytes -= self.measured.remove(&number).map_or(0, |measured| measured.bytes);
                    self.spill(number, pane, aggregates)?;
                }
            }
            self.store.write()?;
        }
        self.store.snapshot(barrier).map(Some)
    }

    /// Takes over what a checkpoint has in files of the store's own; the panes are there then, empty in memory. Accumulators
    /// that are not as today's are written anew.
    pub fn restore(
        &mut self,
        chunks: &mut dyn ChunkSource,
        panes: &mut Panes,
        aggregates: &Aggregates,
        conversions: &mut Conversions,
    ) -> Result<(), Fault> {
        self.spilled = self.store.restore(chunks)?;
        panes.extend(self.spilled.iter().map(|number| (*number, Arc::new(aggregates.table()))));
        if conversions.iter().any(Option::is_some) {
            for pane in self.spilled.clone() {
                self.groups().try_for_each(|group| self.convert(pane, group, aggregates, conversions))?;
            }
        }
        Ok(())
    }

    /// Makes the accumulators of a pane and group today's, page by page.
    fn convert(
        &mut self,
        pane: i64,
        group: KeyGroup,
        aggregates: &Aggregates,
        conversions: &mut Conversions,
    ) -> Result<(), Fault> {
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut page: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            let is_end = self.store.page(pane, group, last.as_deref(), CONVERTED_BYTES_MAX, &mut |key, former| {
                let (mut columns, mut value) = (aggregates.columns(), Vec::new());
                read_former_group(&mut columns, former, conversions)?;
                write_group(&columns, 0, &mut value);
                page.push((key.to_vec(), value));
                Ok(())
            })?;
            page.iter().try_for_each(|(key, value)| self.store.put(pane, key, KeyHash::of(key), value))?;
            self.store.write()?;
            if is_end {
                return Ok(());
            }
            last = page.pop().map(|(key, _)| key);
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
