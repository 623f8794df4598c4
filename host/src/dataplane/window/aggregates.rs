//! The aggregates of a window, native ones and plugins', and their accumulators side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::dataplane::function::{AggregateFunction, CallFailure};
use crate::model::fault::Fault;
use crate::model::schema::Schema;
use crate::model::value::Values;
use crate::plan::graph::AggregatePlan;
use crate::state::key_index::KeyIndex;
use crate::state::snapshot::cut_short;
use crate::state::{Conversion, Conversions};

use super::native::{Native, NativeCells};
use super::plugin::{CALL_BYTES_MAX, PluginAggregate, PluginPart};
use super::plugin_cells::PluginCells;
use super::reading::GroupedRows;

pub enum Aggregate {
    Native(Native),
    Plugin(PluginAggregate),
}

/// The accumulators of one aggregate, one for each group.
#[derive(Clone, Debug)]
pub enum Cells {
    Native(NativeCells),
    Plugin(PluginCells),
}

/// Groups by key, and their accumulators: a pane, or several merged.
#[derive(Clone, Debug)]
pub struct Table {
    pub index: KeyIndex,
    pub columns: Vec<Cells>,
}

/// By number.
pub type Panes = BTreeMap<i64, Arc<Table>>;

/// Groups `from` of `columns` go into results `into`.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub columns: &'a [Cells],
    pub from: &'a [u32],
    pub into: &'a [u32],
}

pub struct Aggregates {
    pub list: Vec<Aggregate>,
    pub has_plugins: bool,
    // What follows is of the current batch and pane, and reused.
    /// For each group of the table its number in the call + 1, or 0.
    numbers: Vec<u32>,
    touched: Vec<u32>,
    call_groups: Vec<u32>,
}

/// Why rows were added to no aggregate.
pub enum AddFailure {
    /// The accumulators of their groups, of which there are several, are too large for one call.
    TooLarge,
    Call(CallFailure),
}

/// What plugins are told of the rows of a pane.
pub struct PluginRows<'a> {
    pub times: &'a [i64],
    /// Those that the window reads.
    pub columns: &'a [ArrayRef],
}

impl Aggregates {
    /// `functions` are those of the plugins' aggregates, in order; `column` says where a column of the input is among
    /// those that the window reads; `results` are the aggregates' columns of the main output.
    pub fn new(
        plans: &[AggregatePlan],
        functions: Vec<Box<dyn AggregateFunction>>,
        input: &Schema,
        column: &mut dyn FnMut(usize) -> usize,
        results: &Schema,
    ) -> Self {
        let (mut functions, mut result) = (functions.into_iter(), 0);
        let mut aggregate = |plan: &AggregatePlan| match plan {
            AggregatePlan::Native { name, function } => {
                let output = results.fields()[result].data_type.clone();
                result += 1;
                Aggregate::Native(Native::new(name, *function, input, column, output))
            }
            AggregatePlan::Plugin { name, descriptor, .. } => {
                result += descriptor.outputs[0].columns.fields().len();
                Aggregate::Plugin(PluginAggregate {
                    name: name.clone(),
                    function: functions.next().expect("a function for each plugin's aggregate"),
                    columns: descriptor.reads[0].iter().map(|read| column(*read)).collect(),
                    reads_times: descriptor.reads_times,
                    width: descriptor.states[0].width(),
                })
            }
        };
        let list: Vec<Aggregate> = plans.iter().map(&mut aggregate).collect();
        let has_plugins = list.iter().any(|aggregate| matches!(aggregate, Aggregate::Plugin(_)));
        Self { list, has_plugins, numbers: Vec::new(), touched: Vec::new(), call_groups: Vec::new() }
    }

    /// Accumulators of no groups.
    pub fn columns(&self) -> Vec<Cells> {
        let cells = |aggregate: &Aggregate| match aggregate {
            Aggregate::Native(native) => Cells::Native(native.cells()),
            Aggregate::Plugin(plugin) => Cells::Plugin(plugin.cells()),
        };
        self.list.iter().map(cells).collect()
    }

    pub fn table(&self) -> Table {
        Table { index: KeyIndex::default(), columns: self.columns() }
    }

    /// Adds rows to groups of `columns`, which all exist.
    pub fn add_native(&self, columns: &mut [Cells], rows: GroupedRows<'_>, inputs: &[ArrayRef]) {
        for (aggregate, cells) in self.list.iter().zip(columns) {
            if let (Aggregate::Native(native), Cells::Native(cells)) = (aggregate, cells) {
                native.add(cells, rows, inputs);
            }
        }
    }

    /// The same for plugins: all of them, or none when a call fails. `groups` are those of the rows.
    pub fn add_plugins(
        &mut self,
        columns: &mut [Cells],
        groups: &[u32],
        rows: &PluginRows<'_>,
    ) -> Result<(), AddFailure> {
        self.number_groups(groups);
        let mut answers: Vec<(usize, Values)> = Vec::new();
        for (i, aggregate) in self.list.iter_mut().enumerate() {
            let (Aggregate::Plugin(plugin), Cells::Plugin(cells)) = (aggregate, &columns[i]) else { continue };
            let accumulators = cells.values(self.touched.iter().copied());
            if accumulators.data_bytes() > CALL_BYTES_MAX && self.touched.len() > 1 {
                return Err(AddFailure::TooLarge);
            }
            let read: Vec<ArrayRef> = plugin.columns.iter().map(|read| ArrayRef::clone(&rows.columns[*read])).collect();
            let times = if plugin.reads_times { rows.times } else { &[] };
            let added = plugin.function.add(&accumulators, &self.call_groups, times, &read);
            answers.push((i, added.map_err(AddFailure::Call)?));
        }
        for (i, values) in answers {
            if let Cells::Plugin(cells) = &mut columns[i] {
                cells.store(&self.touched, &values);
            }
        }
        Ok(())
    }

    /// The rows of one half of the groups of the last call, and those of the other.
    pub fn halve(&self, rows: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let half = self.touched.len() as u32 / 2;
        let (first, second): (Vec<_>, Vec<_>) =
            rows.iter().zip(&self.call_groups).partition(|(_, group)| **group < half);
        (first.into_iter().map(|(row, _)| *row).collect(), second.into_iter().map(|(row, _)| *row).collect())
    }

    /// Numbers the distinct groups in the order in which they first come.
    fn number_groups(&mut self, groups: &[u32]) {
        self.touched.clear();
        self.call_groups.clear();
        for group in groups {
            let at = *group as usize;
            if at >= self.numbers.len() {
                self.numbers.resize(at + 1, 0);
            }
            if self.numbers[at] == 0 {
                self.touched.push(*group);
                self.numbers[at] = self.touched.len() as u32;
            }
            self.call_groups.push(self.numbers[at] - 1);
        }
        self.touched.iter().for_each(|group| self.numbers[*group as usize] = 0);
    }

    /// `size` results, each merged from its parts in their order.
    pub fn merge(&mut self, parts: &[Part<'_>], size: usize) -> Vec<Cells> {
        let merge = |(i, aggregate): (usize, &mut Aggregate)| match aggregate {
            Aggregate::Native(native) => {
                let mut results = native.cells();
                results.resize(size);
                for part in parts {
                    let Cells::Native(cells) = &part.columns[i] else { continue };
                    native.merge(&mut results, part.into, cells, part.from);
                }
                Cells::Native(results)
            }
            Aggregate::Plugin(plugin) => {
                let parts: Vec<PluginPart<'_>> = parts
                    .iter()
                    .filter_map(|part| match &part.columns[i] {
                        Cells::Plugin(cells) => Some(PluginPart { cells, from: part.from, into: part.into }),
                        Cells::Native(_) => None,
                    })
                    .collect();
                Cells::Plugin(plugin.merge(&parts, size))
            }
        };
        self.list.iter_mut().enumerate().map(merge).collect()
    }
}

impl Cells {
    /// New groups have fresh accumulators.
    pub fn resize(&mut self, groups: usize) {
        match self {
            Self::Native(cells) => cells.resize(groups),
            Self::Plugin(cells) => cells.resize(groups),
        }
    }

    /// What they take in memory, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Native(cells) => cells.bytes(),
            Self::Plugin(cells) => cells.bytes(),
        }
    }

    /// Appends copies of cells of `source`.
    pub fn extend(&mut self, source: &Self, rows: &[u32]) {
        match (self, source) {
            (Self::Native(cells), Self::Native(source)) => cells.extend(source, rows),
            (Self::Plugin(cells), Self::Plugin(source)) => cells.extend(source, rows),
            _ => unreachable!("the columns of a table are in the order of the aggregates"),
        }
    }

    /// Appends the durable form of a cell.
    fn write(&self, row: u32, bytes: &mut Vec<u8>) {
        match self {
            Self::Native(cells) => cells.write(row as usize, bytes),
            Self::Plugin(cells) => cells.write(row, bytes),
        }
    }

    /// Appends a cell that is taken off the front of `bytes`; whether there was one.
    fn read(&mut self, bytes: &mut &[u8], conversion: Option<&mut Box<dyn Conversion>>) -> Result<bool, Fault> {
        match self {
            Self::Native(cells) => Ok(cells.read(bytes)),
            Self::Plugin(cells) => cells.read(bytes, conversion),
        }
    }

    /// Makes cell `rows[i]` what cell `i` of `source` is.
    pub fn scatter(&mut self, rows: &[u32], source: Self) {
        match (self, source) {
            (Self::Native(cells), Self::Native(source)) => cells.scatter(rows, source),
            (Self::Plugin(cells), Self::Plugin(source)) => cells.scatter(rows, &source),
            _ => unreachable!("the columns of a table are in the order of the aggregates"),
        }
    }
}

/// Appends the durable form of a group's accumulators.
pub fn write_group(columns: &[Cells], row: u32, bytes: &mut Vec<u8>) {
    columns.iter().for_each(|cells| cells.write(row, bytes));
}

/// Appends the group that `write_group` wrote.
pub fn read_group(columns: &mut [Cells], bytes: &[u8]) -> Result<(), Fault> {
    read_former_group(columns, bytes, &mut [])
}

/// The same of a group whose accumulators `conversions` make today's.
pub fn read_former_group(columns: &mut [Cells], mut bytes: &[u8], conversions: &mut Conversions) -> Result<(), Fault> {
    for (number, cells) in columns.iter_mut().enumerate() {
        if !cells.read(&mut bytes, conversions.get_mut(number).and_then(Option::as_mut))? {
            return Err(cut_short("a pane's accumulator"));
        }
    }
    if bytes.is_empty() { Ok(()) } else { Err(cut_short("a pane's accumulator")) }
}

impl Table {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.columns.iter().map(Cells::bytes).sum::<usize>()
    }

    pub fn len(&self) -> usize {
        self.index.keys().len()
    }

    /// An accumulator for each key of the index, no more.
    pub fn fit(&mut self) {
        let groups = self.index.keys().len();
        self.columns.iter_mut().for_each(|cells| cells.resize(groups));
    }

    /// Copies of the accumulators of some groups.
    pub fn gather(&self, mut fresh: Vec<Cells>, rows: &[u32]) -> Vec<Cells> {
        fresh.iter_mut().zip(&self.columns).for_each(|(to, from)| to.extend(from, rows));
        fresh
    }

    pub fn scatter(&mut self, rows: &[u32], source: Vec<Cells>) {
        self.columns.iter_mut().zip(source).for_each(|(cells, source)| cells.scatter(rows, source));
    }
}
