//! Turns windows that fire into batches: rows are collected until a batch is full, then the results of all of them
//! are asked for at once.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};

use crate::dataplane::dead_letter::{DeadEvent, DeadLetter};
use crate::dataplane::function::CallFailure;
use crate::dataplane::operator::Collector;
use crate::model::batch::{Batch, Provenance};
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::key::{self, Keys};
use crate::model::key_group::KeyHash;
use crate::model::schema::{Field, Schema};
use crate::model::time::Timestamp;
use crate::plan::descriptor::WINDOW_BOUND;

use super::aggregates::{Aggregate, Aggregates, Cells, Part};
use super::ahead::Fired;
use super::plugin::CALL_ROWS_MAX;
use super::result::Overflow;

/// Rows of a batch of results.
const BATCH_ROWS_MAX: usize = CALL_ROWS_MAX;

/// Port numbers of a window.
pub const MAIN: usize = 0;
pub const LATE: usize = 1;

pub struct Firing {
    uid: Uid,
    output: Schema,
    /// Key, start and end: the first columns of the output.
    bounds: Schema,
    key_fields: Vec<Field>,
    /// What is not given out again.
    pub fired: Option<Fired>,
    // What follows is of rows that wait for their batch.
    keys: Keys,
    starts: Vec<i64>,
    ends: Vec<i64>,
    columns: Vec<Cells>,
}

impl Firing {
    pub fn new(uid: Uid, output: Schema, key_columns: usize, columns: Vec<Cells>) -> Self {
        let bounds = Schema::new(output.fields()[..key_columns + 2].iter().cloned());
        let key_fields = output.fields()[..key_columns].to_vec();
        Self {
            uid,
            output,
            bounds,
            key_fields,
            fired: None,
            keys: Keys::default(),
            starts: Vec::new(),
            ends: Vec::new(),
            columns,
        }
    }

    /// How many rows fit into the batch; at least one.
    pub fn room(&self) -> usize {
        BATCH_ROWS_MAX - self.keys.len()
    }

    /// Adds rows of a window, whose results are merged from `parts`.
    pub fn add<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]>,
        times: Range<i64>,
        parts: &[Part<'_>],
        aggregates: &mut Aggregates,
        out: &mut Collector,
    ) -> Result<(), Fault> {
        let before = self.keys.len();
        // No part of the result depends on the hash.
        keys.for_each(|key| self.keys.push(key, KeyHash(0)));
        let rows = self.keys.len();
        self.starts.resize(rows, times.start);
        self.ends.resize(rows, times.end);
        if before == 0 {
            self.columns = aggregates.merge(parts, rows);
        } else {
            let merged = aggregates.merge(parts, rows - before);
            let all: Vec<u32> = (0..(rows - before) as u32).collect();
            self.columns.iter_mut().zip(&merged).for_each(|(to, from)| to.extend(from, &all));
        }
        if rows >= BATCH_ROWS_MAX { self.flush(aggregates, out) } else { Ok(()) }
    }

    /// Emits the rows that wait.
    pub fn flush(&mut self, aggregates: &mut Aggregates, out: &mut Collector) -> Result<(), Fault> {
        self.emit(0..self.keys.len(), aggregates, out)?;
        self.keys.clear();
        self.starts.clear();
        self.ends.clear();
        self.columns = aggregates.columns();
        Ok(())
    }

    /// Emits these rows or, where a plugin fails, each half of them, down to the row that makes it fail.
    fn emit(&mut self, rows: Range<usize>, aggregates: &mut Aggregates, out: &mut Collector) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut results = self.results(rows.clone(), aggregates)?;
        if results.is_err() && rows.len() > 1 {
            let middle = rows.start + rows.len() / 2;
            self.emit(rows.start..middle, aggregates, out)?;
            return self.emit(middle..rows.end, aggregates, out);
        }
        if results.is_err() {
            results = self.results(rows.clone(), aggregates)?;
        }
        match results {
            Ok(results) => {
                let fired = self.fired.as_ref();
                let is_new = |row: &usize| fired.is_none_or(|fired| !fired.holds(self.keys.get(*row), self.ends[*row]));
                let new: Vec<u32> = rows.clone().filter(is_new).map(|row| (row - rows.start) as u32).collect();
                let all = rows.len();
                let batch = self.batch(&self.output, rows, results)?;
                out.emit(MAIN, if new.len() == all { batch } else { batch.select(new) });
            }
            Err(failure) => out.dead_letters.push(DeadLetter {
                node: self.uid.clone(),
                reason: format!("window {}: {}", self.window(rows.start), failure.reason),
                split: None,
                offset: None,
                event: DeadEvent::Row(self.batch(&self.bounds, rows, Vec::new())?),
            }),
        }
        Ok(())
    }

    /// The columns of the aggregates; `Ok(Err(_))` where a plugin has none for one of the rows.
    fn results(
        &self,
        rows: Range<usize>,
        aggregates: &mut Aggregates,
    ) -> Result<Result<Vec<ArrayRef>, CallFailure>, Fault> {
        let mut results = Vec::new();
        let (starts, ends) = (&self.starts[rows.clone()], &self.ends[rows.clone()]);
        for (aggregate, cells) in aggregates.list.iter_mut().zip(&self.columns) {
            match (aggregate, cells) {
                (Aggregate::Native(native), Cells::Native(cells)) => {
                    let overflow = |overflow: Overflow| {
                        let window = self.window(overflow.row);
                        Fault::invalid(format!(
                            "`{}` of the window {window} does not fit {}",
                            native.name, native.output
                        ))
                        .at(&self.uid)
                    };
                    results.push(native.results(cells, rows.clone()).map_err(overflow)?);
                }
                (Aggregate::Plugin(plugin), Cells::Plugin(cells)) => {
                    match plugin.finish(cells, rows.clone(), starts, ends) {
                        Ok(columns) => results.extend(columns),
                        Err(failure) => {
                            return Ok(Err(CallFailure::new(format!("`{}`: {}", plugin.name, failure.reason))));
                        }
                    }
                }
                _ => unreachable!("the columns are in the order of the aggregates"),
            }
        }
        Ok(Ok(results))
    }

    fn window(&self, row: usize) -> String {
        format!("[{}, {})", Timestamp(self.starts[row]), Timestamp(self.ends[row]))
    }

    fn batch(&self, schema: &Schema, rows: Range<usize>, results: Vec<ArrayRef>) -> Result<Batch, Fault> {
        // What was in files of a store's own has not been looked at before.
        let mut columns =
            key::try_decode(rows.clone().map(|row| self.keys.get(row)), &self.key_fields).map_err(|why| {
                Fault::unrestorable(format!("a key of its windows in the store is none: {why}")).at(&self.uid)
            })?;
        for bounds in [&self.starts, &self.ends] {
            let bounds = TimestampMicrosecondArray::from(bounds[rows.clone()].to_vec());
            columns.push(Arc::new(bounds.with_data_type(WINDOW_BOUND.to_arrow())));
        }
        columns.extend(results);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let records = RecordBatch::try_new_with_options(Arc::clone(schema.arrow()), columns, &options)
            .map_err(|error| Fault::plugin(format!("results do not fit their schema: {error}")).at(&self.uid))?;
        let times = self.ends[rows].iter().map(|end| end - 1).collect();
        Ok(Batch::new(records, times, Provenance::default()))
    }
}
