//! Settings of sources and sinks, checked. The code that acts on them is in `connectors/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::schema::{Field, Schema};
use crate::model::time::{Micros, Timestamp};

use super::location::Location;

/// Where a source's events come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceConnector {
    File(FileSource),
    Generator(GeneratorSource),
    Kafka(KafkaSource),
    /// Lines of standard input; one split.
    Stdin {
        format: Format,
    },
}

impl SourceConnector {
    /// The bytes of its events; `None` = it makes columns itself.
    pub fn format(&self) -> Option<&Format> {
        match self {
            Self::File(file) => Some(&file.format),
            Self::Kafka(kafka) => Some(&kafka.format),
            Self::Stdin { format } => Some(format),
            Self::Generator(_) => None,
        }
    }

    /// The columns that do not come from the bytes of an event.
    pub fn metadata(&self) -> impl Iterator<Item = &Field> {
        let columns = match self {
            Self::Kafka(kafka) => kafka.metadata.as_slice(),
            _ => &[],
        };
        columns.iter().map(|column| &column.field)
    }

    pub fn is_metadata(&self, column: &str) -> bool {
        self.metadata().any(|field| field.name == column)
    }

    /// Whether there may be more splits later.
    pub fn is_unbounded(&self) -> bool {
        match self {
            Self::File(file) => file.follow,
            Self::Kafka(kafka) => !kafka.bounded,
            Self::Generator(_) | Self::Stdin { .. } => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// A file, a directory (all files directly in it) or a glob pattern, here or in an object store.
    pub path: Location,
    pub format: Format,
    /// Files are cut into splits of about this many bytes, at line ends. 64 MiB unless set.
    pub split_bytes: u64,
    /// Go on reading as files grow and appear.
    pub follow: bool,
    /// How often a followed source looks for new files and new lines.
    pub discover_interval: Micros,
}

/// The bytes of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One record a line; with a header line, columns are found by its names, otherwise by the schema's order.
    Csv(CsvFormat),
    /// Every line is one event of a single `text` or `bytes` column.
    Raw,
    /// Row groups of columns; of files only, which are not followed.
    Parquet,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CsvFormat {
    pub delimiter: u8,
    pub header: bool,
    /// Quoted fields may hold line breaks. Such files are not cut into splits.
    pub multiline: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorSource {
    pub events: GeneratedEvents,
    /// `None` = for ever.
    pub count: Option<u64>,
    /// Events per second of all slots together; `None` = as fast as they are taken.
    pub rate: Option<u64>,
    pub seed: u64,
    /// Event times are behind by 0 to this much.
    pub out_of_orderness: Micros,
    /// Splits: split k of n makes the events k, k + n, k + 2n, ..
    pub splits: u16,
}

/// Event `i` depends on the seed and on `i` alone.
#[derive(Clone, Debug, PartialEq)]
pub enum GeneratedEvents {
    /// The clicks of `tests/peers/flink/src/clicks/gen_clicks.rs`: user_id, action, timestamp (ms), page, ad_id, ip,
    /// spread over `span` of event time. Written as JSON lines they are the same bytes.
    Clicks { span: Micros },
    /// The events of `tests/peers/flink/src/bench/Gen.java`: key (16 hex digits), value, payload (100 bytes), with
    /// `per_milli` events in each millisecond of event time. With `fill`, the first events have each key once, one after
    /// the other, and are not held to the rate.
    Keyed { keys: u64, per_milli: u64, fill: bool },
}

/// How to reach a Kafka cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaCluster {
    /// `host:port`, several with commas between them.
    pub brokers: String,
    /// More settings of librdkafka, none that we make ourselves. `${NAME}` in a value stands for a variable of the
    /// environment, and is replaced when the connector is opened, so that no plan shows a secret.
    pub properties: BTreeMap<String, String>,
}

/// Topics of a Kafka cluster. A split is a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSource {
    pub cluster: KafkaCluster,
    /// Names, and regular expressions that start with `^`.
    pub topics: Vec<String>,
    /// Of a message's value, which is one event.
    pub format: Format,
    pub start: KafkaStart,
    /// Whose offsets `committed` means.
    pub group: Option<String>,
    /// End at the offsets that the partitions have when the job starts.
    pub bounded: bool,
    /// How often to look for new partitions and topics.
    pub discover_interval: Micros,
    /// Of the messages of one partition that were fetched and are not read yet.
    pub prefetch_bytes_max: u64,
    pub metadata: Vec<MetadataColumn>,
}

/// Where partitions are read from when no checkpoint says it. Those that come later are read from their beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaStart {
    Earliest,
    /// Only what comes after the start.
    Latest,
    /// Where the group was; a partition without an offset of the group, from its beginning.
    Committed,
    /// The first message of this time or later.
    Timestamp(Timestamp),
}

/// A column of what a message has beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataColumn {
    pub kind: MetadataKind,
    pub field: Field,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataKind {
    /// Text or bytes.
    Key,
    /// `list<struct<name: text, value: bytes?>>`.
    Headers,
    Timestamp,
    Topic,
    /// `i32`.
    Partition,
    /// `i64`.
    Offset,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SinkConnector {
    File(FileSink),
    Kafka(KafkaSink),
    Stdout {
        format: SinkFormat,
    },
    /// Counts rows and forgets them.
    Blackhole,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileSink {
    /// A directory, here or in an object store. Each slot writes parts of its own into it, which are not seen there
    /// before they are whole and, where the job has checkpoints, covered by one.
    pub path: Location,
    pub format: FileFormat,
    /// When a part is closed, beside every checkpoint.
    pub roll: Roll,
}

/// Where a job has checkpoints, a part that has reached one of these gets no more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roll {
    /// As written, that is compressed. 128 MiB unless set.
    pub bytes: u64,
    /// Since its first row; `None` = however old it is.
    pub interval: Option<Micros>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Rows(SinkFormat),
    Parquet(ParquetFormat),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParquetFormat {
    pub compression: Compression,
    /// Of a row group as written, about; one is in memory for each part that is open. 32 MiB unless set.
    pub row_group_bytes: u64,
}

/// Of the pages of a Parquet file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Snappy,
    Gzip,
    Lz4,
    Zstd,
}

/// A row is a message.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSink {
    pub cluster: KafkaCluster,
    pub topic: KafkaTopic,
    /// Columns. One text or bytes is the key as it is, with none for null; otherwise the key is a JSON object of them.
    /// Empty = messages have no key.
    pub key: Vec<String>,
    /// The columns of the value; `None` = all.
    pub value: Option<Vec<String>>,
    pub format: MessageFormat,
    /// Names of headers and their columns, text or bytes; a null is no header.
    pub headers: Vec<(String, String)>,
    /// A timestamp column; `None` = the time at which the message is sent.
    pub timestamp: Option<String>,
    /// Of the messages of one slot that the brokers have not acknowledged yet; then the writer waits.
    pub queue_bytes_max: u64,
    pub delivery: Delivery,
}

/// What a sink promises of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// After a restart, rows since the last checkpoint are written again.
    AtLeastOnce,
    /// In transactions, one for each checkpoint: readers of committed messages see each row once.
    ExactlyOnce,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaTopic {
    Named(String),
    /// A text column.
    Column(String),
}

/// What a message of a sink holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    Rows(SinkFormat),
    /// The one text or bytes column as it is; a null is a message without a value.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkFormat {
    /// One JSON object a line; null columns are left out.
    Json,
    Csv,
}

/// Where the dead letters of a job go: JSON lines, appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterFile {
    pub path: PathBuf,
}

/// A source as the planner leaves it.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    pub connector: SourceConnector,
    pub schema: Schema,
    /// `None` = events have no time: nothing downstream may need one.
    pub time: Option<TimePlan>,
}

/// How events get their times and watermarks.
#[derive(Clone, Debug, PartialEq)]
pub struct TimePlan {
    /// Index of the column in the schema.
    pub column: usize,
    pub unit: TimeUnit,
    pub out_of_orderness: Micros,
    /// A split that is silent for this long does not hold the watermark back; `None` = it does for ever.
    pub idle_timeout: Option<Micros>,
}

/// What a number in the event-time column counts. Timestamp columns and RFC 3339 text need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Seconds,
    Millis,
    Micros,
    Nanos,
    /// The column is a timestamp.
    Timestamp,
    /// The column is text such as `2015-05-17T10:05:03Z`.
    Rfc3339,
}
