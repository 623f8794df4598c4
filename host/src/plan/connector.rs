//! Settings of sources and sinks, checked. The code that acts on them is in `connectors/`.

use std::path::PathBuf;

use crate::model::schema::Schema;
use crate::model::time::Micros;

use super::location::Location;

/// Where a source's events come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceConnector {
    File(FileSource),
    Generator(GeneratorSource),
    /// Lines of standard input; one split.
    Stdin {
        format: Format,
    },
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
    /// `per_milli` events in each millisecond of event time.
    Keyed { keys: u64, per_milli: u64 },
}

#[derive(Clone, Debug, PartialEq)]
pub enum SinkConnector {
    File(FileSink),
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
