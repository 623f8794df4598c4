//! Native aggregates: count, sum, min, max and avg over a column, a column of accumulators at a time.

use std::cmp::Ordering;

use arrow_array::ArrayRef;

use crate::model::schema::{DataType, Schema};
use crate::plan::graph::NativeAggregate;

use super::cells::{Cell, Compensated, ExactSum, Sum, offer, offer_bytes};
use super::durable::Durable;
use super::reading::{GroupedRows, Reading};

#[derive(Clone, Debug)]
pub struct Native {
    pub name: String,
    pub function: Function,
    /// Of the input; `None` = count rows.
    pub column: Option<usize>,
    reading: Reading,
    /// Of decimals, how many digits stand behind the point.
    pub scale: i8,
    /// Of the result.
    pub output: DataType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// The accumulators of one aggregate, a cell for each group.
#[derive(Clone, Debug)]
pub enum NativeCells {
    Counts(Vec<u64>),
    Sums(Vec<ExactSum>),
    FloatSums(Vec<Sum<Compensated>>),
    Signed(Vec<Option<i64>>),
    Unsigned(Vec<Option<u64>>),
    Floats(Vec<Option<f64>>),
    Decimals(Vec<Option<i128>>),
    Bytes(Vec<Option<Box<[u8]>>>),
}

/// `$body` with the vector of cells, whatever they are.
macro_rules! any_cells {
    ($cells:expr, $vector:ident => $body:expr) => {
        match $cells {
            NativeCells::Counts($vector) => $body,
            NativeCells::Sums($vector) => $body,
            NativeCells::FloatSums($vector) => $body,
            NativeCells::Signed($vector) => $body,
            NativeCells::Unsigned($vector) => $body,
            NativeCells::Floats($vector) => $body,
            NativeCells::Decimals($vector) => $body,
            NativeCells::Bytes($vector) => $body,
        }
    };
}

/// The same with the vectors of two columns of the same aggregate.
macro_rules! both_cells {
    ($a:expr, $b:expr, $x:ident, $y:ident => $body:expr) => {
        match ($a, $b) {
            (NativeCells::Counts($x), NativeCells::Counts($y)) => $body,
            (NativeCells::Sums($x), NativeCells::Sums($y)) => $body,
            (NativeCells::FloatSums($x), NativeCells::FloatSums($y)) => $body,
            (NativeCells::Signed($x), NativeCells::Signed($y)) => $body,
            (NativeCells::Unsigned($x), NativeCells::Unsigned($y)) => $body,
            (NativeCells::Floats($x), NativeCells::Floats($y)) => $body,
            (NativeCells::Decimals($x), NativeCells::Decimals($y)) => $body,
            (NativeCells::Bytes($x), NativeCells::Bytes($y)) => $body,
            _ => unreachable!("an aggregate has one kind of cells"),
        }
    };
}

impl Native {
    /// `column` says where a column of the input is among those that the window reads.
    pub fn new(
        name: &str,
        function: NativeAggregate,
        input: &Schema,
        column: &mut dyn FnMut(usize) -> usize,
        output: DataType,
    ) -> Self {
        let (function, read) = match function {
            NativeAggregate::Count { column } => (Function::Count, column),
            NativeAggregate::Sum { column } => (Function::Sum, Some(column)),
            NativeAggregate::Min { column } => (Function::Min, Some(column)),
            NativeAggregate::Max { column } => (Function::Max, Some(column)),
            NativeAggregate::Avg { column } => (Function::Avg, Some(column)),
        };
        let data_type = read.map(|read| &input.fields()[read].data_type);
        let reading = match (function, data_type) {
            (Function::Count, _) | (_, None) => Reading::Unsigned,
            (_, Some(data_type)) => Reading::of(data_type),
        };
        let scale = if let Some(DataType::Decimal { scale, .. }) = data_type { *scale } else { 0 };
        Self { name: name.to_owned(), function, column: read.map(column), reading, scale, output }
    }

    /// Of no groups.
    pub fn cells(&self) -> NativeCells {
        match (self.function, self.reading) {
            (Function::Count, _) => NativeCells::Counts(Vec::new()),
            (Function::Sum | Function::Avg, Reading::Float) => NativeCells::FloatSums(Vec::new()),
            (Function::Sum | Function::Avg, _) => NativeCells::Sums(Vec::new()),
            (_, Reading::Signed) => NativeCells::Signed(Vec::new()),
            (_, Reading::Unsigned) => NativeCells::Unsigned(Vec::new()),
            (_, Reading::Float) => NativeCells::Floats(Vec::new()),
            (_, Reading::Decimal) => NativeCells::Decimals(Vec::new()),
            (_, Reading::Bytes) => NativeCells::Bytes(Vec::new()),
        }
    }

    fn wins(&self) -> Ordering {
        if self.function == Function::Max { Ordering::Greater } else { Ordering::Less }
    }

    pub fn add(&self, cells: &mut NativeCells, rows: GroupedRows<'_>, columns: &[ArrayRef]) {
        let (Some(column), wins) = (self.column.map(|i| &columns[i]), self.wins()) else {
            let NativeCells::Counts(counts) = cells else { unreachable!("only count reads no column") };
            rows.groups.iter().for_each(|group| counts[*group as usize] += 1);
            return;
        };
        match cells {
            NativeCells::Counts(counts) => rows.valid(column, |group| counts[group] += 1),
            NativeCells::Sums(sums) => match self.reading {
                Reading::Signed => rows.signed(column, |group, v| sums[group].add_integer(v.into())),
                Reading::Unsigned => rows.unsigned(column, |group, v| sums[group].add_integer(v.into())),
                _ => rows.decimals(column, |group, v| sums[group].add_decimal(v)),
            },
            NativeCells::FloatSums(sums) => rows.floats(column, |group, v| sums[group].add_float(v)),
            NativeCells::Signed(best) => rows.signed(column, |group, v| offer(&mut best[group], v, wins)),
            NativeCells::Unsigned(best) => rows.unsigned(column, |group, v| offer(&mut best[group], v, wins)),
            NativeCells::Floats(best) => rows.floats(column, |group, v| offer(&mut best[group], v, wins)),
            NativeCells::Decimals(best) => rows.decimals(column, |group, v| offer(&mut best[group], v, wins)),
            NativeCells::Bytes(best) => rows.bytes(column, |group, v| offer_bytes(&mut best[group], v, wins)),
        }
    }

    /// Merges cell `from[i]` of `source` into cell `into[i]`.
    pub fn merge(&self, cells: &mut NativeCells, into: &[u32], source: &NativeCells, from: &[u32]) {
        let wins = self.wins();
        both_cells!(cells, source, cells, source => merge(cells, into, source, from, wins));
    }
}

impl NativeCells {
    /// New groups have fresh accumulators.
    pub fn resize(&mut self, groups: usize) {
        any_cells!(self, cells => cells.resize_with(groups, Default::default));
    }

    /// What they take in memory, about.
    pub fn bytes(&self) -> usize {
        let inline = any_cells!(self, cells => size_of_val(&cells[..]));
        match self {
            Self::Bytes(cells) => inline + cells.iter().flatten().map(|bytes| bytes.len()).sum::<usize>(),
            _ => inline,
        }
    }

    /// Appends the durable form of a cell.
    pub fn write(&self, row: usize, bytes: &mut Vec<u8>) {
        any_cells!(self, cells => cells[row].write(bytes));
    }

    /// Appends a cell that is taken off the front of `bytes`; whether there was one.
    pub fn read(&mut self, bytes: &mut &[u8]) -> bool {
        any_cells!(self, cells => Durable::read(bytes).map(|cell| cells.push(cell)).is_some())
    }

    /// Appends copies of cells of `source`.
    pub fn extend(&mut self, source: &Self, rows: &[u32]) {
        both_cells!(self, source, cells, source => extend(cells, source, rows));
    }

    /// Makes cell `rows[i]` what cell `i` of `source` is.
    pub fn scatter(&mut self, rows: &[u32], source: Self) {
        both_cells!(self, source, cells, source => {
            rows.iter().zip(source).for_each(|(row, cell)| cells[*row as usize] = cell);
        });
    }
}

fn extend<C: Cell>(cells: &mut Vec<C>, source: &[C], rows: &[u32]) {
    cells.extend(rows.iter().map(|row| source[*row as usize].clone()));
}

fn merge<C: Cell>(cells: &mut [C], into: &[u32], source: &[C], from: &[u32], wins: Ordering) {
    for (into, from) in into.iter().zip(from) {
        cells[*into as usize].merge(&source[*from as usize], wins);
    }
}
