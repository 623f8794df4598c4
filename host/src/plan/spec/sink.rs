//! `[sinks.X]`.

use std::path::Path;

use crate::plan::connector::{Delivery, FileSink, KafkaSink, SinkConnector, SinkFormat};
use crate::plan::diagnostic::{Errors, Spanned};

use super::reader::Reader;
use super::tree::Entry;
use super::{InputSpec, inputs, kafka, node, parallelism};

#[derive(Clone, Debug)]
pub struct SinkSpec {
    pub uid: Spanned<String>,
    pub inputs: Vec<InputSpec>,
    pub connector: SinkConnector,
    pub columns: NamedColumns,
    pub parallelism: Option<Spanned<u16>>,
}

/// The columns that a connector asks for by name, and what for.
pub type NamedColumns = Vec<(Spanned<String>, ColumnRole)>;

/// What a sink uses a column for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    Topic,
    Key,
    Value,
    Header,
    Timestamp,
}

impl SinkSpec {
    /// The topic that it writes to in transactions.
    pub fn exactly_once(&self) -> Option<&KafkaSink> {
        match &self.connector {
            SinkConnector::Kafka(kafka) if kafka.delivery == Delivery::ExactlyOnce => Some(kafka),
            _ => None,
        }
    }
}

const FORMATS: [(&str, SinkFormat); 2] = [("json", SinkFormat::Json), ("csv", SinkFormat::Csv)];
const CONNECTORS: [(&str, &str); 4] =
    [("file", "file"), ("kafka", "kafka"), ("stdout", "stdout"), ("blackhole", "blackhole")];
const KAFKA_OPTIONS: [&str; 10] = [
    "brokers",
    "topic",
    "topic_column",
    "key",
    "value",
    "headers",
    "timestamp",
    "queue_bytes_max",
    "delivery",
    "properties",
];

pub fn read(entry: &Entry, folder: &Path, max: u16, errors: &Errors) -> Option<SinkSpec> {
    let (uid, mut fields) = node("sink", entry, errors)?;
    let inputs = inputs(&mut fields);
    let parallelism = parallelism(&mut fields, max);
    let name = fields.required("connector", |fields, name| fields.choice(name, &CONNECTORS))?;
    let mut columns = Vec::new();
    let connector = connector(name.value, &mut fields, folder, &mut columns);
    fields.finish(|option| {
        let place = match option {
            "path" => "of `file`",
            "format" => "of `file`, `kafka` and `stdout`",
            option if KAFKA_OPTIONS.contains(&option) => "of `kafka`",
            _ => return None,
        };
        Some(format!("it is an option {place}, and this is `{}`", name.value))
    });
    Some(SinkSpec { uid, inputs: inputs?, connector: connector?, columns, parallelism })
}

fn connector(name: &str, fields: &mut Reader, folder: &Path, columns: &mut NamedColumns) -> Option<SinkConnector> {
    let format =
        |fields: &mut Reader| fields.choice("format", &FORMATS).map_or(SinkFormat::Json, |format| format.value);
    Some(match name {
        "file" => {
            let path = fields.required("path", Reader::text);
            let format = format(fields);
            SinkConnector::File(FileSink { path: folder.join(path?.value), format })
        }
        "kafka" => {
            let (sink, used) = kafka::sink(fields)?;
            *columns = used;
            SinkConnector::Kafka(sink)
        }
        "stdout" => SinkConnector::Stdout { format: format(fields) },
        _ => SinkConnector::Blackhole,
    })
}
