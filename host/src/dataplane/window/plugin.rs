//! Aggregates of plugins: one call for many groups, cut where it would get too large, and bisected where it fails.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::dataplane::function::{AggregateFunction, CallFailure};

use super::plugin_cells::PluginCells;

/// Accumulators of one call.
pub const CALL_ROWS_MAX: usize = 4_096;

/// Bytes of the accumulators of one call, about.
pub const CALL_BYTES_MAX: usize = 512 << 10;

pub struct PluginAggregate {
    pub name: String,
    pub function: Box<dyn AggregateFunction>,
    /// Where the columns that it reads are among those that the window reads.
    pub columns: Vec<usize>,
    pub reads_times: bool,
    /// The bytes of every accumulator, if they are the same for all.
    pub width: Option<usize>,
}

/// Accumulators `from` of `cells` go into results `into`.
#[derive(Clone, Copy, Debug)]
pub struct PluginPart<'a> {
    pub cells: &'a PluginCells,
    pub from: &'a [u32],
    pub into: &'a [u32],
}

/// One accumulator on its way into a result.
#[derive(Clone, Copy)]
struct Entry<'a> {
    into: u32,
    cells: &'a PluginCells,
    from: u32,
}

impl PluginAggregate {
    pub fn cells(&self) -> PluginCells {
        PluginCells::new(self.width)
    }

    /// `size` results, each the accumulators that go into it, merged in the order of the parts. A result whose
    /// accumulators cannot be merged is a failure.
    pub fn merge(&mut self, parts: &[PluginPart<'_>], size: usize) -> PluginCells {
        let mut results = self.cells();
        results.resize(size);
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for part in parts {
            let pairs = part.from.iter().zip(part.into).map(|(from, into)| Entry {
                into: *into,
                cells: part.cells,
                from: *from,
            });
            // A fresh accumulator changes nothing.
            entries.extend(pairs.filter(|entry| !entry.cells.is_fresh(entry.from)));
        }
        entries.sort_by_key(|entry| entry.into);
        let mut pending: Vec<&[Entry<'_>]> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        for group in entries.chunk_by(|a, b| a.into == b.into) {
            if let [entry] = group {
                results.copy(entry.into, entry.cells, entry.from);
                continue;
            }
            if let Some(reason) = group.iter().find_map(|entry| entry.cells.failure(entry.from)) {
                results.set_failure(group[0].into, Arc::clone(reason));
                continue;
            }
            let group_bytes: usize = group.iter().map(|entry| entry.cells.get(entry.from).map_or(0, <[u8]>::len)).sum();
            if rows + group.len() > CALL_ROWS_MAX || bytes + group_bytes > CALL_BYTES_MAX {
                self.merge_groups(&pending, &mut results);
                pending.clear();
                (rows, bytes) = (0, 0);
            }
            pending.push(group);
            rows += group.len();
            bytes += group_bytes;
        }
        self.merge_groups(&pending, &mut results);
        results
    }

    /// One call or, where it fails, one for each half, down to the result that makes it fail.
    fn merge_groups(&mut self, groups: &[&[Entry<'_>]], results: &mut PluginCells) {
        if groups.is_empty() || self.call_merge(groups, results).is_ok() {
            return;
        }
        if groups.len() > 1 {
            let (first, second) = groups.split_at(groups.len() / 2);
            self.merge_groups(first, results);
            self.merge_groups(second, results);
        } else if let Err(failure) = self.call_merge(groups, results) {
            results.set_failure(groups[0][0].into, failure.reason.into());
        }
    }

    fn call_merge(&mut self, groups: &[&[Entry<'_>]], results: &mut PluginCells) -> Result<(), CallFailure> {
        let mut accumulators = results.no_values();
        let mut numbers = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            for entry in *group {
                accumulators.push(entry.cells.get(entry.from));
                numbers.push(number as u32);
            }
        }
        let merged = self.function.merge(&accumulators, &numbers, groups.len())?;
        let rows: Vec<u32> = groups.iter().map(|group| group[0].into).collect();
        results.store(&rows, &merged);
        Ok(())
    }

    /// The result columns of these accumulators, whose windows start and end so.
    pub fn finish(
        &mut self,
        cells: &PluginCells,
        rows: Range<usize>,
        starts: &[i64],
        ends: &[i64],
    ) -> Result<Vec<ArrayRef>, CallFailure> {
        let numbers = rows.start as u32..rows.end as u32;
        if let Some(reason) = numbers.clone().find_map(|row| cells.failure(row)) {
            return Err(CallFailure::new(&**reason));
        }
        let accumulators = cells.values(numbers);
        if accumulators.data_bytes() > CALL_BYTES_MAX && rows.len() > 1 {
            return Err(CallFailure::new("these accumulators are too large for one call"));
        }
        self.function.finish(&accumulators, starts, ends)
    }
}
