//! A batch: rows of a schema in columns, with their event times, where they came from, and which of them count.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::DataType;
use arrow_select::take::take;

use super::id::SplitName;

/// Columns are shared: cloning a batch, and selecting rows of it, copies no values.
#[derive(Clone, Debug)]
pub struct Batch {
    records: RecordBatch,
    /// Event times, microseconds; one for each row of `records`.
    times: ScalarBuffer<i64>,
    /// The rows that count, ascending; `None` = all of them.
    selection: Option<ScalarBuffer<u32>>,
    provenance: Provenance,
    /// Of the key of each row that counts, for the reader that the batch was sent to; whatever is made of the batch has none.
    key_hashes: Option<ScalarBuffer<u64>>,
}

/// Where rows came from, so that a dead letter can name its source and offset.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    pub split: Option<SplitName>,
    pub offsets: Offsets,
}

/// The position of each row in its split: whatever the connector counts in (bytes of a file, events of a generator).
#[derive(Clone, Debug, Default)]
pub enum Offsets {
    /// Rows that an operator made: of a timer or a window.
    #[default]
    None,
    /// Row `i` is at `first + i * step`.
    Sequence {
        first: u64,
        step: u64,
    },
    Listed(ScalarBuffer<u64>),
}

impl Offsets {
    pub fn get(&self, row: usize) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Sequence { first, step } => Some(first + row as u64 * step),
            Self::Listed(offsets) => Some(offsets[row]),
        }
    }

    fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::None => Self::None,
            Self::Sequence { first, step } => {
                Self::Listed(rows.iter().map(|row| first + u64::from(*row) * step).collect())
            }
            Self::Listed(offsets) => Self::Listed(rows.iter().map(|row| offsets[*row as usize]).collect()),
        }
    }
}

impl Provenance {
    fn take(&self, rows: &[u32]) -> Self {
        Self { split: self.split.clone(), offsets: self.offsets.take(rows) }
    }
}

impl Batch {
    /// # Panics
    /// If there is not one time for each row.
    pub fn new(records: RecordBatch, times: ScalarBuffer<i64>, provenance: Provenance) -> Self {
        assert_eq!(records.num_rows(), times.len(), "a batch has an event time for each row");
        Self { records, times, selection: None, provenance, key_hashes: None }
    }

    /// The rows that count.
    pub fn rows(&self) -> usize {
        self.selection.as_ref().map_or(self.records.num_rows(), |rows| rows.len())
    }

    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    pub fn column(&self, index: usize) -> &ArrayRef {
        self.records.column(index)
    }

    pub fn times(&self) -> &ScalarBuffer<i64> {
        &self.times
    }

    pub fn selection(&self) -> Option<&[u32]> {
        self.selection.as_deref()
    }

    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The hash of each row's encoded key (`KeyHash`), where whoever sent the batch by that key has said so.
    pub fn key_hashes(&self) -> Option<&[u64]> {
        self.key_hashes.as_deref()
    }

    /// # Panics
    /// If there is not one for each row that counts.
    pub fn with_key_hashes(self, hashes: Option<ScalarBuffer<u64>>) -> Self {
        assert!(hashes.as_ref().is_none_or(|hashes| hashes.len() == self.rows()), "each row has a key");
        Self { key_hashes: hashes, ..self }
    }

    /// What this batch keeps alive, in bytes: whole columns, however few rows are selected.
    pub fn retained_bytes(&self) -> usize {
        let columns: usize = self.records.columns().iter().map(|column| column.get_array_memory_size()).sum();
        let hashes = self.key_hashes.as_ref().map_or(0, |hashes| hashes.inner().len());
        columns + self.times.inner().len() + self.selection.as_ref().map_or(0, |rows| rows.inner().len()) + hashes
    }

    /// Of the rows that count, those numbered by `rows` (ascending). Shares the columns, unless so few rows are left
    /// of them (below a quarter) that it is better to copy these than to keep the others alive.
    pub fn select(&self, rows: Vec<u32>) -> Self {
        let rows: ScalarBuffer<u32> = match &self.selection {
            None => rows.into(),
            Some(selection) => rows.into_iter().map(|row| selection[row as usize]).collect(),
        };
        let selected = Self { selection: Some(rows), key_hashes: None, ..self.clone() };
        if selected.rows() * 4 < self.records.num_rows() { selected.compact() } else { selected }
    }

    /// The same rows in columns of their own; nothing happens when all rows count.
    pub fn compact(self) -> Self {
        let Some(rows) = self.selection else { return self };
        let columns = take_rows(self.records.columns(), &rows);
        let schema = Arc::clone(self.records.schema_ref());
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let records = RecordBatch::try_new_with_options(schema, columns, &options)
            .expect("rows of a batch fit the schema of the batch");
        let times = rows.iter().map(|row| self.times[*row as usize]).collect();
        Self { records, times, selection: None, provenance: self.provenance.take(&rows), key_hashes: None }
    }

    /// A batch whose row `i` comes from row `origins[i]` of this compact one (`None`: the same rows), with its own
    /// columns, and event times unless they are inherited.
    pub fn derive(&self, records: RecordBatch, times: Option<Vec<i64>>, origins: Option<&[u32]>) -> Self {
        debug_assert!(self.selection.is_none());
        let times = match (times, origins) {
            (Some(times), _) => times.into(),
            (None, None) => self.times.clone(),
            (None, Some(origins)) => origins.iter().map(|row| self.times[*row as usize]).collect(),
        };
        let provenance = origins.map_or_else(|| self.provenance.clone(), |rows| self.provenance.take(rows));
        Self::new(records, times, provenance)
    }

    /// The same rows with other columns.
    pub fn with_records(&self, records: RecordBatch) -> Self {
        assert_eq!(records.num_rows(), self.records.num_rows(), "a batch has an event time for each row");
        Self { records, key_hashes: None, ..self.clone() }
    }

    /// Takes out some rows of a compact batch, by ascending number: what is left, compact, and each of them alone with
    /// what was said of it.
    pub fn without<T>(self, rows: Vec<(u32, T)>) -> (Self, Vec<(Self, T)>) {
        debug_assert!(self.selection.is_none());
        if rows.is_empty() {
            return (self, Vec::new());
        }
        let mut kept: Vec<u32> = (0..self.rows() as u32).collect();
        kept.retain(|row| rows.binary_search_by_key(row, |(bad, _)| *bad).is_err());
        let left = self.select(kept).compact();
        let taken = rows.into_iter().map(|(row, said)| (self.select(vec![row]).compact(), said)).collect();
        (left, taken)
    }

    /// The rows from `start` on, `rows` of them, of a compact batch.
    pub fn slice(&self, start: usize, rows: usize) -> Self {
        debug_assert!(self.selection.is_none());
        let offsets = match &self.provenance.offsets {
            Offsets::None => Offsets::None,
            Offsets::Sequence { first, step } => Offsets::Sequence { first: first + start as u64 * step, step: *step },
            Offsets::Listed(offsets) => Offsets::Listed(offsets.slice(start, rows)),
        };
        Self {
            records: self.records.slice(start, rows),
            times: self.times.slice(start, rows),
            selection: None,
            provenance: Provenance { split: self.provenance.split.clone(), offsets },
            key_hashes: self.key_hashes.as_ref().map(|hashes| hashes.slice(start, rows)),
        }
    }
}

/// Copies of `rows` of each column.
pub fn take_rows(columns: &[ArrayRef], rows: &ScalarBuffer<u32>) -> Vec<ArrayRef> {
    let indices = UInt32Array::new(rows.clone(), None);
    columns.iter().map(|column| take(column, &indices, None).expect("rows of a batch lie inside it")).collect()
}

/// About what copies of `rows` of a column take, in bytes, but for their bitmap.
pub fn taken_bytes(column: &dyn Array, rows: impl Iterator<Item = u32>) -> usize {
    let length =
        |offsets: &[i32], row: u32| (offsets[row as usize + 1] - offsets[row as usize]) as usize + OFFSET_BYTES;
    match column.data_type() {
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            rows.map(|row| length(offsets, row)).sum()
        }
        DataType::Binary => {
            let offsets = column.as_binary::<i32>().value_offsets();
            rows.map(|row| length(offsets, row)).sum()
        }
        DataType::List(_) | DataType::Struct(_) => {
            rows.map(|row| range_bytes(column, row as usize..row as usize + 1)).sum()
        }
        _ => range_bytes(column, 0..rows.count()),
    }
}

const OFFSET_BYTES: usize = size_of::<i32>();

/// Of an element of a list: copying one takes a row number, however short the element is.
const ELEMENT_BYTES: usize = 8;

fn range_bytes(column: &dyn Array, rows: Range<usize>) -> usize {
    let bytes = |offsets: &[i32]| (offsets[rows.end] - offsets[rows.start]) as usize + rows.len() * OFFSET_BYTES;
    match column.data_type() {
        DataType::Utf8 => bytes(column.as_string::<i32>().value_offsets()),
        DataType::Binary => bytes(column.as_binary::<i32>().value_offsets()),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let items = list.value_offsets()[rows.start] as usize..list.value_offsets()[rows.end] as usize;
            rows.len() * OFFSET_BYTES + range_bytes(list.values(), items.clone()).max(items.len() * ELEMENT_BYTES)
        }
        DataType::Struct(_) => column.as_struct().columns().iter().map(|field| range_bytes(field, rows.clone())).sum(),
        DataType::FixedSizeBinary(width) => rows.len() * *width as usize,
        DataType::Boolean => rows.len().div_ceil(8),
        other => rows.len() * other.primitive_width().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Int64Type;
    use arrow_array::{FixedSizeBinaryArray, Int8Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow_buffer::OffsetBuffer;

    use super::*;
    use crate::model::schema::{self, Field, Schema};

    fn numbers(n: i64) -> Batch {
        let schema = Schema::new([Field::new("n", schema::DataType::I64)]);
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
        let records = RecordBatch::try_new(schema.arrow().clone(), vec![column]).unwrap();
        let provenance =
            Provenance { split: Some(SplitName::from("s")), offsets: Offsets::Sequence { first: 100, step: 1 } };
        Batch::new(records, (0..n).map(|i| i * 10).collect(), provenance)
    }

    #[test]
    fn a_selection_of_a_selection_counts_rows_of_the_first() {
        let batch = numbers(8).select(vec![1, 3, 5, 7]).select(vec![0, 3]);
        assert_eq!(batch.selection(), Some(&[1, 7][..]));
        let batch = batch.compact();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 7]);
        assert_eq!(batch.times()[..], [10, 70]);
        assert_eq!(batch.provenance().offsets.get(1), Some(107));
    }

    #[test]
    fn hashes_are_of_the_rows_that_were_sent_and_of_nothing_made_of_them() {
        let sent = numbers(4).with_key_hashes(Some(vec![7, 8, 9, 7].into()));
        assert_eq!(sent.slice(1, 2).key_hashes(), Some(&[8, 9][..]));
        let same = sent.records().clone();
        let made = [sent.select(vec![1]), sent.with_records(same.clone()), sent.derive(same, None, None)];
        assert!(made.iter().all(|batch| batch.key_hashes().is_none()));
        let (left, taken) = sent.without(vec![(2, ())]);
        assert!(left.key_hashes().is_none() && taken[0].0.key_hashes().is_none());
    }

    #[test]
    fn what_copies_take_is_known_before() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["", "four", "a longer one"]));
        let items = Int8Array::from_iter_values(0..5);
        let offsets = OffsetBuffer::new(vec![0, 0, 1, 5].into());
        let field = Arc::new(arrow_schema::Field::new_list_field(DataType::Int8, false));
        let list: ArrayRef = Arc::new(ListArray::new(field, offsets, Arc::new(items), None));
        let fixed: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[0; 100]; 3].iter()).unwrap());
        let field = |name: &str, column: &ArrayRef| {
            let field = arrow_schema::Field::new(name, column.data_type().clone(), true);
            (Arc::new(field), Arc::clone(column))
        };
        let fields = vec![field("text", &text), field("list", &list)];
        let structure: ArrayRef = Arc::new(StructArray::from(fields));
        let taken = |column: &ArrayRef, rows: &[u32]| taken_bytes(column, rows.iter().copied());
        assert_eq!([taken(&text, &[1, 1, 2]), taken(&text, &[0]), taken(&text, &[])], [20 + 12, 4, 0]);
        assert_eq!([taken(&list, &[0]), taken(&list, &[2, 2])], [4, 2 * (4 + 32)]);
        assert_eq!(taken(&fixed, &[0; 7]), 700);
        assert_eq!(taken(&structure, &[2, 1]), taken(&text, &[2, 1]) + taken(&list, &[2, 1]));
        // A slice of a column counts from its own start.
        assert_eq!(taken(&structure.slice(2, 1), &[0]), taken(&structure, &[2]));
        assert_eq!(taken(&text.slice(1, 2), &[0]), 8);
    }

    #[test]
    fn few_rows_do_not_keep_many_alive() {
        let batch = numbers(1000);
        let few = batch.select((0..249).collect());
        assert!(few.selection().is_none() && few.retained_bytes() < batch.retained_bytes() / 2);
        assert!(batch.select((0..250).collect()).selection().is_some());
    }
}
