//! The columns of a Parquet file as those of a source's schema: found by name, and converted where no value is lost.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_buffer::BooleanBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema as FileSchema, TimeUnit};
use arrow_select::filter::filter_record_batch;

use crate::connectors::format::encode::RowEncoder;
use crate::dataplane::split::{Refused, Rows};
use crate::model::batch::Offsets;
use crate::model::fault::Fault;
use crate::model::schema::Schema;

#[derive(Clone)]
pub struct Columns {
    schema: Schema,
    /// For each column of the schema its number among those that are read; `None` = the file has none, and it is null.
    read: Vec<Option<usize>>,
    /// Columns of the file that are read, ascending.
    pub wanted: Vec<usize>,
}

impl Columns {
    /// The error names the file, the column and both types.
    pub fn of(file: &FileSchema, schema: &Schema, path: &Path) -> Result<Self, Fault> {
        let mut found = Vec::new();
        for field in schema.fields() {
            let column = file.fields().iter().position(|theirs| *theirs.name() == field.name);
            match column {
                None if !field.nullable => {
                    let names: Vec<&str> = file.fields().iter().map(|field| field.name().as_str()).collect();
                    return Err(Fault::invalid(format!(
                        "`{}` has no column `{}`: it has {}",
                        path.display(),
                        field.name,
                        names.join(", ")
                    )));
                }
                Some(column) if !is_lossless(file.field(column).data_type(), &field.data_type.to_arrow()) => {
                    return Err(Fault::invalid(format!(
                        "column `{}` of `{}` has the type {}, which cannot be read as {}",
                        field.name,
                        path.display(),
                        file.field(column).data_type(),
                        field.data_type
                    )));
                }
                column => found.push(column),
            }
        }
        let mut wanted: Vec<usize> = found.iter().flatten().copied().collect();
        wanted.sort_unstable();
        let read = found.iter().map(|column| column.and_then(|column| wanted.binary_search(&column).ok())).collect();
        Ok(Self { schema: schema.clone(), read, wanted })
    }

    /// `batch` has the wanted columns; its first row is the split's row `first`. Nulls where the schema has none are
    /// refused, row by row.
    pub fn rows(&self, batch: &RecordBatch, first: u64) -> Result<Rows, String> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.read.len());
        let mut good: Option<BooleanBuffer> = None;
        for (field, read) in self.schema.fields().iter().zip(&self.read) {
            let wanted = field.data_type.to_arrow();
            let column = match read {
                None => new_null_array(&wanted, rows),
                Some(column) => {
                    let options = CastOptions { safe: false, ..CastOptions::default() };
                    let cast = cast_with_options(batch.column(*column), &wanted, &options);
                    cast.map_err(|error| format!("column `{}`: {error}", field.name))?
                }
            };
            if let (false, Some(nulls)) =
                (field.nullable, column.logical_nulls().filter(|nulls| nulls.null_count() > 0))
            {
                good = Some(good.map_or_else(|| nulls.inner().clone(), |good| &good & nulls.inner()));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let Some(good) = good else {
            let records = RecordBatch::try_new_with_options(Arc::clone(self.schema.arrow()), columns, &options);
            let records = records.map_err(|error| error.to_string())?;
            let offsets = Offsets::Sequence { first, step: 1 };
            return Ok(Rows { records, selection: None, offsets, refused: Vec::new() });
        };
        self.without_nulls(columns, good, first).map_err(|error| error.to_string())
    }

    #[cold]
    fn without_nulls(
        &self,
        columns: Vec<ArrayRef>,
        good: BooleanBuffer,
        first: u64,
    ) -> Result<Rows, arrow_schema::ArrowError> {
        let nullable = self.schema.fields().iter().map(|field| field.to_arrow().with_nullable(true));
        let nullable = Arc::new(FileSchema::new(nullable.collect::<Vec<_>>()));
        let all = RecordBatch::try_new(Arc::clone(&nullable), columns)?;
        let text = RowEncoder::json(&nullable);
        let mut refused = Vec::new();
        for row in (0..good.len()).filter(|row| !good.value(*row)) {
            let mut event = Vec::new();
            text.encode_records(&all.slice(row, 1), &mut event)?;
            let is_bad = |column: &usize| !self.schema.fields()[*column].nullable && all.column(*column).is_null(row);
            let column = (0..all.num_columns()).find(is_bad).unwrap_or_default();
            let reason = format!("column `{}` is null", self.schema.fields()[column].name);
            refused.push(Refused { offset: first + row as u64, reason, event: event.trim_ascii_end().to_vec() });
        }
        let offsets: Vec<u64> = good.set_indices().map(|row| first + row as u64).collect();
        let kept = filter_record_batch(&all, &BooleanArray::new(good, None))?;
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        let schema = Arc::clone(self.schema.arrow());
        let records = RecordBatch::try_new_with_options(schema, kept.columns().to_vec(), &options)?;
        Ok(Rows { records, selection: None, offsets: Offsets::Listed(offsets.into()), refused })
    }
}

/// Whether every value of one type is one of the other. Times in nanoseconds are cut to microseconds all the same:
/// systems write them so whose clocks are no better.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (from, to) if from == to => true,
        (Dictionary(_, values), to) => is_lossless(values, to),
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64) => true,
        (UInt16, UInt32 | UInt64 | Int32 | Int64) | (UInt32, UInt64 | Int64) => true,
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (LargeUtf8 | Utf8View, Utf8) | (LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Decimal128(digits, scale), Decimal128(more, same)) => scale == same && digits <= more,
        (Timestamp(_, _), Timestamp(TimeUnit::Microsecond, _)) => true,
        (Duration(TimeUnit::Second | TimeUnit::Millisecond), Duration(TimeUnit::Microsecond)) => true,
        (List(from) | LargeList(from), List(to)) => is_lossless(from.data_type(), to.data_type()),
        (Struct(from), Struct(to)) => {
            let fits = |(a, b): (&Arc<arrow_schema::Field>, &Arc<arrow_schema::Field>)| {
                a.name() == b.name() && is_lossless(a.data_type(), b.data_type())
            };
            from.len() == to.len() && from.iter().zip(to.iter()).all(fits)
        }
        _ => false,
    }
}
