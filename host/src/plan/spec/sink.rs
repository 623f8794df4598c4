//! `[sinks.X]`.

use std::path::Path;

use crate::plan::connector::{
    Compression, Delivery, FileFormat, FileSink, KafkaSink, ParquetFormat, Roll, SinkConnector, SinkFormat,
};
use crate::plan::diagnostic::{Errors, Spanned};

use super::reader::Reader;
use super::tree::Entry;
use super::{InputSpec, inputs, kafka, location, node, parallelism};

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
const FILE_FORMATS: [(&str, Option<SinkFormat>); 3] =
    [("json", Some(SinkFormat::Json)), ("csv", Some(SinkFormat::Csv)), ("parquet", None)];
const COMPRESSIONS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("snappy", Compression::Snappy),
    ("gzip", Compression::Gzip),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

const ROLL_BYTES: u64 = 128 << 20;
/// Object stores take 10,000 parts of an upload at most.
const ROLL_BYTES_MAX: u64 = 64 << 30;
const ROW_GROUP_BYTES: u64 = 32 << 20;
const ROW_GROUP_BYTES_MAX: u64 = 1 << 30;

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
            "compression" | "row_group_bytes" if name.value == "file" => {
                return Some("it is an option of the format `parquet`".to_owned());
            }
            "path" | "options" | "roll_bytes" | "roll_interval" | "compression" | "row_group_bytes" => "of `file`",
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
            let path = location("path", fields, folder);
            let (format, roll) = (file_format(fields), roll(fields));
            SinkConnector::File(FileSink { path: path?.value, format, roll })
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

fn file_format(fields: &mut Reader) -> FileFormat {
    let format = fields.choice("format", &FILE_FORMATS).map_or(Some(SinkFormat::Json), |format| format.value);
    let Some(rows) = format else {
        let compression = fields.choice("compression", &COMPRESSIONS).map_or(Compression::Zstd, |chosen| chosen.value);
        let row_group_bytes = size("row_group_bytes", fields, ROW_GROUP_BYTES_MAX).unwrap_or(ROW_GROUP_BYTES);
        return FileFormat::Parquet(ParquetFormat { compression, row_group_bytes });
    };
    FileFormat::Rows(rows)
}

fn roll(fields: &mut Reader) -> Roll {
    Roll {
        bytes: size("roll_bytes", fields, ROLL_BYTES_MAX).unwrap_or(ROLL_BYTES),
        interval: fields.length("roll_interval").map(|interval| interval.value),
    }
}

fn size(name: &'static str, fields: &mut Reader, max: u64) -> Option<u64> {
    let size = fields.bytes(name)?;
    if (1..=max).contains(&size.value) {
        return Some(size.value);
    }
    fields.errors.add(size.span, format!("`{name}` must be at least 1 byte and at most {} GiB", max >> 30));
    None
}
