//! Messages as rows: the value by the source's format, and beside it what a message has besides.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::connectors::format::column::{Column, Values};
use crate::connectors::format::{Decoder, decoder};
use crate::dataplane::split::Rows;
use crate::model::schema::Schema;
use crate::plan::connector::{KafkaSource, MetadataKind};

/// Decodes the messages of one partition.
pub struct MessageDecoder {
    schema: Schema,
    value: Box<dyn Decoder>,
    metadata: Vec<(MetadataKind, Column)>,
    /// The place of each column of the schema: in the value's columns, or behind them in the metadata's.
    places: Vec<usize>,
    /// Messages without a value become rows of nulls.
    value_is_nullable: bool,
}

impl MessageDecoder {
    /// The error is about the settings.
    pub fn new(source: &KafkaSource, schema: &Schema) -> Result<Self, String> {
        let kind = |name: &str| source.metadata.iter().find(|column| column.field.name == name).map(|c| c.kind);
        let value = Schema::new(schema.fields().iter().filter(|field| kind(&field.name).is_none()).cloned());
        let mut metadata = Vec::new();
        let mut places = Vec::new();
        for field in schema.fields() {
            match (kind(&field.name), value.index_of(&field.name)) {
                (Some(kind), _) => {
                    places.push(value.fields().len() + metadata.len());
                    metadata.push((kind, Column::new(field)));
                }
                (None, place) => places.extend(place),
            }
        }
        let value_is_nullable = value.fields().iter().all(|field| field.nullable);
        let value = decoder(&source.format, &value, None)?;
        Ok(Self { schema: schema.clone(), value, metadata, places, value_is_nullable })
    }

    /// Messages since the last `finish`, refused ones among them.
    pub fn events(&mut self) -> usize {
        self.value.decoded().events()
    }

    /// Takes one message: a row, or a refused event.
    pub fn push(&mut self, message: &BorrowedMessage<'_>) {
        let offset = message.offset() as u64;
        let row = self.value.decoded().len();
        if let Err(reason) = self.push_metadata(message) {
            self.value.decoded().refuse(offset, reason, message.payload().unwrap_or_default());
        } else {
            self.push_value(message.payload(), offset);
        }
        if self.value.decoded().len() == row {
            self.metadata.iter_mut().for_each(|(_, column)| column.truncate(row));
        }
    }

    fn push_value(&mut self, value: Option<&[u8]>, offset: u64) {
        match value {
            Some(value) => self.value.decode_event(value, offset),
            None if self.value_is_nullable => {
                let rows = self.value.decoded();
                rows.columns.iter_mut().for_each(Column::push_null);
                rows.accept(offset);
            }
            None => {
                let reason = "the message has no value (a tombstone); when all columns of the value allow null, it \
                              becomes a row of nulls";
                self.value.decoded().refuse(offset, reason.to_owned(), &[]);
            }
        }
    }

    fn push_metadata(&mut self, message: &BorrowedMessage<'_>) -> Result<(), String> {
        for (kind, column) in &mut self.metadata {
            match kind {
                MetadataKind::Key => match message.key() {
                    Some(key) => push_bytes(column, key).map_err(|error| format!("its key is {error}"))?,
                    None if column.field.nullable => {
                        column.push_null();
                        continue;
                    }
                    None => return Err(format!("it has no key, and `{}` allows no null", column.field)),
                },
                MetadataKind::Headers => push_headers(column, message)?,
                MetadataKind::Timestamp => {
                    let micros = message.timestamp().to_millis().and_then(|millis| millis.checked_mul(1000));
                    let micros = micros.ok_or("it has no timestamp")?;
                    let Values::Timestamp(times) = &mut column.values else { unreachable!("the plan has its type") };
                    times.push(micros);
                }
                MetadataKind::Topic => push_bytes(column, message.topic().as_bytes())?,
                MetadataKind::Partition => {
                    let Values::I32(numbers) = &mut column.values else { unreachable!("the plan has its type") };
                    numbers.push(message.partition());
                }
                MetadataKind::Offset => {
                    let Values::I64(numbers) = &mut column.values else { unreachable!("the plan has its type") };
                    numbers.push(message.offset());
                }
            }
            column.commit();
        }
        Ok(())
    }

    /// What was pushed since the last time.
    pub fn finish(&mut self) -> Rows {
        let rows = self.value.decoded().finish();
        let value = rows.records.columns().iter().map(Arc::clone);
        let columns: Vec<ArrayRef> = value.chain(self.metadata.iter_mut().map(|(_, column)| column.finish())).collect();
        let columns = self.places.iter().map(|place| Arc::clone(&columns[*place])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.records.num_rows()));
        let records = RecordBatch::try_new_with_options(self.schema.arrow().clone(), columns, &options)
            .expect("each column was built for its field, a value for each row");
        Rows { records, ..rows }
    }
}

/// Into a text or bytes column; the caller commits.
fn push_bytes(column: &mut Column, bytes: &[u8]) -> Result<(), String> {
    match &mut column.values {
        Values::Text(runs) => {
            let text =
                std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
            runs.push(text.as_bytes());
        }
        Values::Bytes(runs) => runs.push(bytes),
        _ => unreachable!("the plan has its type"),
    }
    Ok(())
}

/// Into a `list<struct<name: text, value: bytes?>>`; the caller commits.
fn push_headers(column: &mut Column, message: &BorrowedMessage<'_>) -> Result<(), String> {
    let Values::List { item, offsets, .. } = &mut column.values else { unreachable!("the plan has its type") };
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        let Values::Struct { fields, .. } = &mut item.values else { unreachable!("the plan has its type") };
        let [name, value] = &mut fields[..] else { unreachable!("a header has a name and a value") };
        push_bytes(name, header.key.as_bytes())?;
        name.commit();
        match header.value {
            Some(bytes) => {
                push_bytes(value, bytes)?;
                value.commit();
            }
            None => value.push_null(),
        }
        item.commit();
    }
    offsets.push(item.len() as i32);
    Ok(())
}
