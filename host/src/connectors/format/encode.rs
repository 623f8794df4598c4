//! Rows as lines of JSON or CSV, by arrow's writers.
//!
//! JSON leaves null columns out. In both, timestamps are RFC 3339 in UTC (`2015-05-17T10:05:03.250Z`), dates
//! `2015-05-17`, durations whole microseconds, bytes hexadecimal digits. JSON has no NaN and no infinity: it gets null. CSV
//! cannot tell a null from an empty text.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{DurationMicrosecondType, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::ScalarBuffer;
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder};
use arrow_schema::{ArrowError, DataType, FieldRef, SchemaRef, TimeUnit};

use crate::model::batch::Batch;
use crate::model::schema::Schema;
use crate::plan::connector::SinkFormat;

use super::is_flat;

/// Appends rows to a buffer.
pub struct RowEncoder {
    format: SinkFormat,
    schema: SchemaRef,
}

impl RowEncoder {
    /// The error says what the format cannot write.
    pub fn new(format: SinkFormat, schema: &Schema) -> Result<Self, String> {
        let nested = schema.fields().iter().find(|field| !is_flat(&field.data_type));
        match (format, nested) {
            (SinkFormat::Csv, Some(nested)) => {
                Err(format!("CSV has no lists and structs: column `{nested}` cannot be written; use format = \"json\""))
            }
            _ => Ok(Self { format, schema: schema.arrow().clone() }),
        }
    }

    /// JSON can write every schema.
    pub fn json(schema: &SchemaRef) -> Self {
        Self { format: SinkFormat::Json, schema: schema.clone() }
    }

    /// What stands before the first row.
    pub fn header(&self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self.format {
            SinkFormat::Json => Ok(()),
            SinkFormat::Csv => csv(&RecordBatch::new_empty(self.schema.clone()), true, out),
        }
    }

    pub fn encode(&self, batch: &Batch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let compact;
        let records = match batch.selection() {
            None => batch.records(),
            Some(_) => {
                compact = batch.clone().compact();
                compact.records()
            }
        };
        self.encode_records(records, out)
    }

    pub fn encode_records(&self, records: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self.format {
            SinkFormat::Json => json(records, out),
            SinkFormat::Csv => csv(records, false, out),
        }
    }
}

fn json(records: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let builder = arrow_json::WriterBuilder::new().with_encoder_factory(Arc::new(Durations));
    let mut writer = builder.build::<_, LineDelimited>(out);
    writer.write(records)?;
    writer.finish()
}

fn csv(records: &RecordBatch, header: bool, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let columns = records.columns().iter().map(durations_as_numbers).collect::<Vec<_>>();
    let fields = records.schema_ref().fields().iter().zip(&columns);
    let schema = arrow_schema::Schema::new(
        fields
            .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()))
            .collect::<Vec<_>>(),
    );
    let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    let records = RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?;
    arrow_csv::WriterBuilder::new().with_header(header).build(out).write(&records)
}

fn durations_as_numbers(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Duration(_) => {
            Arc::new(column.as_primitive::<DurationMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        _ => Arc::clone(column),
    }
}

/// Durations as numbers: arrow would write `PT1.5S`.
#[derive(Debug)]
struct Durations;

struct Numbers(ScalarBuffer<i64>, itoa::Buffer);

impl EncoderFactory for Durations {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let DataType::Duration(TimeUnit::Microsecond) = array.data_type() else { return Ok(None) };
        let array: &PrimitiveArray<DurationMicrosecondType> = array.as_primitive();
        let numbers = Numbers(array.values().clone(), itoa::Buffer::new());
        Ok(Some(NullableEncoder::new(Box::new(numbers), array.nulls().cloned())))
    }
}

impl Encoder for Numbers {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.1.format(self.0[row]).as_bytes());
    }
}
