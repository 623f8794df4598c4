//! Rows as messages: topic, key, value, headers and time of each.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use rdkafka::message::{Header, OwnedHeaders};

use crate::connectors::format::encode::RowEncoder;
use crate::model::batch::Batch;
use crate::model::fault::Fault;
use crate::model::schema::Schema;
use crate::model::time::Timestamp;
use crate::plan::connector::{KafkaSink, KafkaTopic, MessageFormat, SinkFormat};

/// A message that is about to be sent.
pub struct Record<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Option<OwnedHeaders>,
    /// Milliseconds; `None` = now.
    pub timestamp: Option<i64>,
}

pub struct RecordEncoder {
    topic: Topic,
    key: Option<Part>,
    value: Part,
    headers: Vec<(String, usize)>,
    timestamp: Option<usize>,
}

enum Topic {
    Named(String),
    Column(usize),
}

/// The bytes of a key or a value.
enum Part {
    /// A text or bytes column as it is.
    Column(usize),
    Rows(Rows),
}

/// Columns of a batch, encoded row by row.
struct Rows {
    columns: Vec<usize>,
    encoder: RowEncoder,
    is_csv: bool,
    text: Vec<u8>,
    /// Where each row of the batch ends in `text`, its line end included.
    ends: Vec<usize>,
}

impl RecordEncoder {
    /// The plan has checked the columns; the error says what does not fit all the same.
    pub fn new(sink: &KafkaSink, schema: &Schema) -> Result<Self, String> {
        let find = |name: &String| schema.index_of(name).ok_or_else(|| format!("there is no column `{name}`"));
        let find_all = |names: &[String]| names.iter().map(find).collect::<Result<Vec<_>, _>>();
        let topic = match &sink.topic {
            KafkaTopic::Named(name) => Topic::Named(name.clone()),
            KafkaTopic::Column(column) => Topic::Column(find(column)?),
        };
        let key = match find_all(&sink.key)?[..] {
            [] => None,
            [column] if is_bytes(schema, column) => Some(Part::Column(column)),
            ref columns => Some(Part::Rows(Rows::new(columns.to_vec(), SinkFormat::Json, schema)?)),
        };
        let columns = match &sink.value {
            Some(names) => find_all(names)?,
            None => (0..schema.fields().len()).collect(),
        };
        let value = match (sink.format, &columns[..]) {
            (MessageFormat::Rows(format), _) => Part::Rows(Rows::new(columns, format, schema)?),
            (MessageFormat::Raw, [column]) if is_bytes(schema, *column) => Part::Column(*column),
            (MessageFormat::Raw, _) => return Err("a raw value is one column of text or bytes".to_owned()),
        };
        let headers = sink.headers.iter().map(|(name, column)| Ok((name.clone(), find(column)?)));
        Ok(Self {
            topic,
            key,
            value,
            headers: headers.collect::<Result<_, String>>()?,
            timestamp: sink.timestamp.as_ref().map(find).transpose()?,
        })
    }

    /// Gives the rows that count, in order, to `send`, until it fails.
    pub fn encode(
        &mut self,
        batch: &Batch,
        mut send: impl FnMut(Record<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let compact;
        let records = match batch.selection() {
            None => batch.records(),
            Some(_) => {
                compact = batch.clone().compact();
                compact.records()
            }
        };
        let parts = self.key.iter_mut().chain([&mut self.value]);
        for part in parts {
            if let Part::Rows(rows) = part {
                rows.fill(records).map_err(|error| Fault::invalid(error.to_string()))?;
            }
        }
        (0..records.num_rows()).try_for_each(|row| send(self.record(records, row)?))
    }

    fn record<'a>(&'a self, records: &'a RecordBatch, row: usize) -> Result<Record<'a>, Fault> {
        Ok(Record {
            topic: match &self.topic {
                Topic::Named(name) => name,
                Topic::Column(column) => records.column(*column).as_string::<i32>().value(row),
            },
            key: self.key.as_ref().and_then(|key| key.get(records, row)),
            value: self.value.get(records, row),
            headers: (!self.headers.is_empty()).then(|| self.headers(records, row)),
            timestamp: self.timestamp.map(|column| timestamp(records, column, row)).transpose()?,
        })
    }

    fn headers(&self, records: &RecordBatch, row: usize) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(headers, |headers, (name, column)| match bytes(records, *column, row) {
            None => headers,
            value => headers.insert(Header { key: name, value }),
        })
    }
}

impl Part {
    fn get<'a>(&'a self, records: &'a RecordBatch, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Column(column) => bytes(records, *column, row),
            Self::Rows(rows) => Some(rows.get(row)),
        }
    }
}

impl Rows {
    fn new(columns: Vec<usize>, format: SinkFormat, schema: &Schema) -> Result<Self, String> {
        let encoded = Schema::new(columns.iter().map(|column| schema.fields()[*column].clone()));
        let encoder = RowEncoder::new(format, &encoded)?;
        Ok(Self { columns, encoder, is_csv: format == SinkFormat::Csv, text: Vec::new(), ends: Vec::new() })
    }

    fn fill(&mut self, records: &RecordBatch) -> Result<(), ArrowError> {
        self.text.clear();
        self.ends.clear();
        self.encoder.encode_records(&records.project(&self.columns)?, &mut self.text)?;
        let mut quoted = false;
        for at in memchr::memchr2_iter(b'\n', b'"', &self.text) {
            match self.text[at] {
                // Inside of quotes, CSV keeps line ends, and writes a quote twice; JSON has no line ends in its rows.
                b'"' => quoted ^= self.is_csv,
                _ if quoted => {}
                _ => self.ends.push(at + 1),
            }
        }
        if self.ends.len() == records.num_rows() {
            return Ok(());
        }
        let (rows, lines) = (records.num_rows(), self.ends.len());
        Err(ArrowError::ComputeError(format!("{rows} rows were encoded as {lines} lines, which is a bug in wasmill")))
    }

    fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[start..self.ends[row] - 1]
    }
}

/// Kafka has no times before 1970, and the client takes zero for now.
fn timestamp(records: &RecordBatch, column: usize, row: usize) -> Result<i64, Fault> {
    let micros = records.column(column).as_primitive::<TimestampMicrosecondType>().value(row);
    let millis = micros.div_euclid(1000);
    if millis > 0 {
        return Ok(millis);
    }
    let (name, time) = (records.schema_ref().field(column).name().clone(), Timestamp(micros));
    Err(Fault::invalid(format!(
        "a message cannot have the time {time} of the column `{name}`: Kafka's times begin after 1970-01-01T00:00:00Z; \
         leave `timestamp` out, or keep such rows away"
    )))
}

fn is_bytes(schema: &Schema, column: usize) -> bool {
    matches!(schema.arrow().field(column).data_type(), DataType::Utf8 | DataType::Binary)
}

/// Of a text or bytes column.
fn bytes(records: &RecordBatch, column: usize, row: usize) -> Option<&[u8]> {
    let column = records.column(column);
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).as_bytes(),
        _ => column.as_binary::<i32>().value(row),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use rdkafka::message::Headers;

    use super::*;
    use crate::model::batch::Provenance;
    use crate::model::schema::{self, Field};
    use crate::plan::connector::KafkaCluster;

    fn sink(key: &[&str], value: Option<&[&str]>, format: MessageFormat) -> KafkaSink {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        KafkaSink {
            cluster: KafkaCluster { brokers: String::new(), properties: BTreeMap::new() },
            topic: KafkaTopic::Column("to".to_owned()),
            key: names(key),
            value: value.map(names),
            format,
            headers: vec![("h".to_owned(), "text".to_owned())],
            timestamp: Some("at".to_owned()),
            queue_bytes_max: 0,
            delivery: crate::plan::connector::Delivery::AtLeastOnce,
        }
    }

    fn batch() -> (Batch, Schema) {
        let schema = Schema::new([
            Field::new("to", schema::DataType::Text),
            Field::nullable("text", schema::DataType::Text),
            Field::new("n", schema::DataType::I64),
            Field::new("at", schema::DataType::Timestamp),
        ]);
        let at = TimestampMicrosecondArray::from(vec![1_999, 3_000, 5_000]).with_timezone("+00:00");
        let records = RecordBatch::try_new(
            schema.arrow().clone(),
            vec![
                Arc::new(StringArray::from(vec!["a", "b", "c"])),
                Arc::new(StringArray::from(vec![Some("say \"x\"\ny, z"), None, Some("")])),
                Arc::new(Int64Array::from(vec![1, 2, 3])),
                Arc::new(at),
            ],
        );
        (Batch::new(records.unwrap(), vec![0; 3].into(), Provenance::default()), schema)
    }

    type Sent = (String, Option<String>, Option<String>, usize, Option<i64>);

    fn encode(sink: &KafkaSink, batch: &Batch, schema: &Schema) -> Vec<Sent> {
        let mut sent = Vec::new();
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let mut encoder = RecordEncoder::new(sink, schema).unwrap();
        let each = |record: Record<'_>| {
            let headers = record.headers.map_or(0, |headers| headers.count());
            sent.push((record.topic.to_owned(), text(record.key), text(record.value), headers, record.timestamp));
            Ok(())
        };
        encoder.encode(batch, each).unwrap();
        sent
    }

    #[test]
    fn one_text_is_a_key_as_it_is_and_more_are_an_object() {
        let (batch, schema) = batch();
        let json = MessageFormat::Rows(SinkFormat::Json);
        let sent = encode(&sink(&["text"], Some(&["n"]), json), &batch, &schema);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(sent[0], ("a".to_owned(), some("say \"x\"\ny, z"), some("{\"n\":1}"), 1, Some(1)));
        assert_eq!(sent[1], ("b".to_owned(), None, some("{\"n\":2}"), 0, Some(3)));
        assert_eq!(sent[2], ("c".to_owned(), some(""), some("{\"n\":3}"), 1, Some(5)));
        let sent = encode(&sink(&["n"], Some(&["n"]), json), &batch.select(vec![0, 2]), &schema);
        assert_eq!((sent.len(), &sent[1].1), (2, &some("{\"n\":3}")));
        let sent = encode(&sink(&["n", "to"], None, json), &batch, &schema);
        assert_eq!(sent[0].1, some("{\"n\":1,\"to\":\"a\"}"));
        assert!(sent[1].2.as_ref().unwrap().starts_with("{\"to\":\"b\",\"n\":2,\"at\":"), "{:?}", sent[1]);
    }

    #[test]
    fn a_time_before_1970_is_refused() {
        let (batch, schema) = batch();
        let mut columns = batch.records().columns().to_vec();
        columns[3] = Arc::new(TimestampMicrosecondArray::from(vec![1_999, 0, 5_000]).with_timezone("+00:00"));
        let records = RecordBatch::try_new(schema.arrow().clone(), columns).unwrap();
        let json = MessageFormat::Rows(SinkFormat::Json);
        let mut encoder = RecordEncoder::new(&sink(&[], None, json), &schema).unwrap();
        let mut sent = 0;
        let encoded = encoder.encode(&batch.with_records(records), |_| {
            sent += 1;
            Ok(())
        });
        assert!(encoded.unwrap_err().message.contains("`at`") && sent == 1);
    }

    #[test]
    fn csv_values_keep_line_ends_and_quotes_and_raw_ones_everything() {
        let (batch, schema) = batch();
        let csv = encode(&sink(&[], Some(&["text", "n"]), MessageFormat::Rows(SinkFormat::Csv)), &batch, &schema);
        let values: Vec<&str> = csv.iter().map(|sent| sent.2.as_deref().unwrap()).collect();
        assert_eq!(values, ["\"say \"\"x\"\"\ny, z\",1", ",2", ",3"]);
        let raw = encode(&sink(&[], Some(&["text"]), MessageFormat::Raw), &batch, &schema);
        let values: Vec<Option<&str>> = raw.iter().map(|sent| sent.2.as_deref()).collect();
        assert_eq!(values, [Some("say \"x\"\ny, z"), None, Some("")]);
        assert!(RecordEncoder::new(&sink(&[], None, MessageFormat::Raw), &schema).is_err());
    }
}
