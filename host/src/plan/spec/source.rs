//! `[sources.X]`.

use std::path::Path;

use crate::model::schema::{Field, Schema};
use crate::model::time::Micros;
use crate::model::type_name::parse_field;
use crate::plan::connector::{
    CsvFormat, FileSource, Format, GeneratedEvents, GeneratorSource, SourceConnector, TimeUnit,
};
use crate::plan::diagnostic::{Errors, Span, Spanned, all, quoted};
use crate::plan::location::Location;

use super::reader::{self, Reader, nowhere};
use super::tree::Entry;
use super::{kafka, location, node, parallelism};

#[derive(Clone, Debug)]
pub struct SourceSpec {
    pub uid: Spanned<String>,
    pub connector: SourceConnector,
    /// Where a fault of what it reads is shown.
    pub place: Span,
    /// `None` = what its readers declare.
    pub schema: Option<Spanned<Schema>>,
    pub time: Option<TimeSpec>,
    pub parallelism: Option<Spanned<u16>>,
    /// A generator that is not told its splits has one for each slot.
    pub splits_as_parallelism: bool,
}

/// Event times and watermarks, of a source or of an operator's main output.
#[derive(Clone, Debug)]
pub struct TimeSpec {
    pub event_time: EventTimeSpec,
    pub watermark: WatermarkSpec,
}

#[derive(Clone, Debug)]
pub struct EventTimeSpec {
    pub column: Spanned<String>,
    /// What a number counts; `None` for timestamps and text.
    pub unit: Option<Spanned<TimeUnit>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkSpec {
    /// Zero unless written; a generator's is its own.
    pub out_of_orderness: Option<Micros>,
    pub idle_timeout: Option<Micros>,
}

const UNITS: [(&str, TimeUnit); 4] =
    [("s", TimeUnit::Seconds), ("ms", TimeUnit::Millis), ("us", TimeUnit::Micros), ("ns", TimeUnit::Nanos)];
const CONNECTORS: [(&str, &str); 4] =
    [("file", "file"), ("generator", "generator"), ("kafka", "kafka"), ("stdin", "stdin")];
const FORMATS: [(&str, &str); 3] = [("json", "json"), ("csv", "csv"), ("raw", "raw")];
const FILE_FORMATS: [(&str, &str); 4] = [("json", "json"), ("csv", "csv"), ("raw", "raw"), ("parquet", "parquet")];
const EVENTS: [(&str, &str); 2] = [("clicks", "clicks"), ("keyed", "keyed")];

/// Which connectors an option belongs to.
const OPTIONS: [(&str, &[&str]); 26] = [
    ("path", &["file"]),
    ("options", &["file"]),
    ("split_bytes", &["file"]),
    ("follow", &["file"]),
    ("discover_interval", &["file", "kafka"]),
    ("format", &["file", "kafka", "stdin"]),
    ("delimiter", &["file", "kafka", "stdin"]),
    ("header", &["file", "stdin"]),
    ("multiline", &["file", "stdin"]),
    ("events", &["generator"]),
    ("count", &["generator"]),
    ("rate", &["generator"]),
    ("seed", &["generator"]),
    ("out_of_orderness", &["generator"]),
    ("splits", &["generator"]),
    ("keys", &["generator"]),
    ("per_milli", &["generator"]),
    ("fill", &["generator"]),
    ("brokers", &["kafka"]),
    ("topics", &["kafka"]),
    ("start", &["kafka"]),
    ("group", &["kafka"]),
    ("bounded", &["kafka"]),
    ("prefetch_bytes_max", &["kafka"]),
    ("metadata", &["kafka"]),
    ("properties", &["kafka"]),
];

const SPLIT_BYTES: u64 = 64 << 20;
/// Smaller splits cost more than they share.
const SPLIT_BYTES_MIN: u64 = 1 << 10;
const DISCOVER_INTERVAL: Micros = Micros(1_000_000);

pub fn read(entry: &Entry, folder: &Path, max: u16, errors: &Errors) -> Option<SourceSpec> {
    let (uid, mut fields) = node("source", entry, errors)?;
    let name = fields.required("connector", |fields, name| fields.choice(name, &CONNECTORS))?;
    let place = ["path", "topics"].into_iter().find(|option| fields.has(option));
    let place = place.and_then(|option| fields.item(option)).map_or(name.span, |item| item.span);
    let schema = schema(&mut fields);
    let time = time(&mut fields);
    let parallelism = parallelism(&mut fields, max);
    let connector = match name.value {
        "file" => file(&mut fields, folder).map(SourceConnector::File),
        "generator" => generator(&mut fields).map(SourceConnector::Generator),
        "kafka" => kafka::source(&mut fields).map(SourceConnector::Kafka),
        _ => format(&mut fields).map(|format| SourceConnector::Stdin { format }),
    };
    let splits_as_parallelism = name.value == "generator" && !fields.has("splits");
    finish(fields, name.value);
    Some(SourceSpec {
        uid,
        connector: connector?,
        place,
        schema: schema?,
        time: time?,
        parallelism,
        splits_as_parallelism,
    })
}

fn finish(fields: Reader, connector: &str) {
    fields.finish(|option| match option {
        "span" => Some("it is an option of the generator's `clicks`".to_owned()),
        _ => {
            let (_, owners) = OPTIONS.iter().find(|(name, _)| *name == option)?;
            Some(if owners.contains(&connector) {
                match option {
                    "delimiter" | "header" | "multiline" => "it is an option of the format `csv`".to_owned(),
                    "discover_interval" if connector == "kafka" => "a bounded source looks once".to_owned(),
                    "discover_interval" => "it is for sources with `follow = true`".to_owned(),
                    _ => "it is an option of the generator's `keyed`".to_owned(),
                }
            } else {
                format!("it is an option of {}, and this is `{connector}`", quoted(owners.iter().copied()))
            })
        }
    });
}

fn file(fields: &mut Reader, folder: &Path) -> Option<FileSource> {
    let path = location("path", fields, folder);
    let format = file_format(fields);
    let split_bytes = fields.bytes("split_bytes").filter(|size| {
        let good = size.value >= SPLIT_BYTES_MIN;
        if !good {
            fields.errors.add(size.span, "`split_bytes` must be at least 1KiB");
        }
        good
    });
    let follow = fields.boolean("follow").unwrap_or(false);
    let cannot_follow = match (&path, &format) {
        _ if !follow => None,
        (_, Some(Format::Parquet)) => Some("Parquet files do not grow"),
        (Some(Spanned { value: Location::Store { .. }, .. }), _) => Some("objects of a store do not grow"),
        _ => None,
    };
    if let (Some(why), Some(item)) = (cannot_follow, fields.item("follow")) {
        fields.errors.add(item.span, format!("`follow` is for files of lines on this machine: {why}"));
        return None;
    }
    let discover_interval = if follow { fields.length("discover_interval") } else { None };
    Some(FileSource {
        path: path?.value,
        format: format?,
        split_bytes: split_bytes.map_or(SPLIT_BYTES, |size| size.value),
        follow,
        discover_interval: discover_interval.map_or(DISCOVER_INTERVAL, |interval| interval.value),
    })
}

fn file_format(fields: &mut Reader) -> Option<Format> {
    let format = fields.required("format", |fields, name| fields.choice(name, &FILE_FORMATS))?;
    if format.value == "parquet" { Some(Format::Parquet) } else { format_of_lines(format.value, fields) }
}

fn format(fields: &mut Reader) -> Option<Format> {
    let format = fields.required("format", |fields, name| fields.choice(name, &FORMATS))?;
    format_of_lines(format.value, fields)
}

fn format_of_lines(name: &str, fields: &mut Reader) -> Option<Format> {
    Some(match name {
        "json" => Format::Json,
        "raw" => Format::Raw,
        _ => {
            let delimiter = delimiter(fields);
            let header = fields.boolean("header").unwrap_or(true);
            let multiline = fields.boolean("multiline").unwrap_or(false);
            Format::Csv(CsvFormat { delimiter: delimiter?, header, multiline })
        }
    })
}

/// Of an event that is a message of its own: no line of it is a header, and all of them are it.
pub(super) fn message_format(fields: &mut Reader) -> Option<Format> {
    let format = fields.required("format", |fields, name| fields.choice(name, &FORMATS))?;
    Some(match format.value {
        "json" => Format::Json,
        "raw" => Format::Raw,
        _ => Format::Csv(CsvFormat { delimiter: delimiter(fields)?, header: false, multiline: true }),
    })
}

fn delimiter(fields: &mut Reader) -> Option<u8> {
    let Some(text) = fields.text("delimiter") else { return Some(b',') };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Some(*byte),
        _ => {
            fields.errors.add(text.span, "`delimiter` must be one ASCII character, no quote and no line break");
            None
        }
    }
}

fn generator(fields: &mut Reader) -> Option<GeneratorSource> {
    let any = u64::MAX;
    let events = fields.required("events", |fields, name| fields.choice(name, &EVENTS))?;
    let events = match events.value {
        "clicks" => GeneratedEvents::Clicks { span: fields.length("span").map_or(Micros(3_600_000_000), |s| s.value) },
        _ => GeneratedEvents::Keyed {
            keys: fields.integer("keys", 1, any).map_or(1_000, |keys| keys.value),
            per_milli: fields.integer("per_milli", 1, any).map_or(1_000, |events| events.value),
            fill: fields.boolean("fill").unwrap_or(false),
        },
    };
    Some(GeneratorSource {
        events,
        count: fields.integer("count", 0, any).map(|count| count.value),
        rate: fields.integer("rate", 1, any).map(|rate| rate.value),
        seed: fields.integer("seed", 0, any).map_or(42, |seed| seed.value),
        out_of_orderness: fields.duration("out_of_orderness").map_or(Micros(5_000_000), |length| length.value),
        splits: fields.integer("splits", 1, u64::from(u16::MAX)).map_or(1, |splits| splits.value as u16),
    })
}

/// The outer `None` is a mistake.
fn schema(fields: &mut Reader) -> Option<Option<Spanned<Schema>>> {
    let Some(item) = fields.item("schema") else { return Some(None) };
    let table = Reader::of("`schema`", item, fields.errors)?;
    let columns = all(table.entries().iter().map(|entry| column(entry, fields.errors)))?;
    if columns.is_empty() {
        fields.errors.add_with_help(item.span, "`schema` has no columns", "leave it out to infer it");
        return None;
    }
    Some(Some(Spanned::new(Schema::new(columns), item.span)))
}

fn column(entry: &Entry, errors: &Errors) -> Option<Field> {
    let text = reader::text(&entry.name, &entry.item, errors)?;
    if entry.name.is_empty() {
        errors.add(entry.name.span, "a column needs a name");
        return None;
    }
    match parse_field(&entry.name, &text) {
        Ok(field) => Some(field),
        Err(message) => {
            errors.add(text.span, format!("the type of `{}`: {message}", entry.name.value));
            None
        }
    }
}

/// `event_time` and `watermark`; the outer `None` is a mistake.
pub fn time(fields: &mut Reader) -> Option<Option<TimeSpec>> {
    let event_time = fields.table("event_time").map(|mut table| {
        let column = table.required("column", Reader::text);
        let unit = table.choice("unit", &UNITS);
        table.finish(nowhere);
        column.map(|column| EventTimeSpec { column, unit })
    });
    let entry = fields.entry("watermark");
    let watermark = fields.table("watermark").map(|mut table| {
        let out_of_orderness = table.duration("out_of_orderness").map(|length| length.value);
        let idle_timeout = table.length("idle_timeout").map(|length| length.value);
        table.finish(nowhere);
        WatermarkSpec { out_of_orderness, idle_timeout }
    });
    match (event_time, watermark) {
        (Some(event_time), watermark) => {
            let none = WatermarkSpec { out_of_orderness: None, idle_timeout: None };
            Some(Some(TimeSpec { event_time: event_time?, watermark: watermark.unwrap_or(none) }))
        }
        (None, None) => Some(None),
        (None, Some(_)) => {
            let help = "for example: event_time = { column = \"timestamp\", unit = \"ms\" }";
            let span = entry.map_or(fields.span, |entry| entry.name.span);
            fields.errors.add_with_help(span, "a `watermark` needs an `event_time`", help);
            None
        }
    }
}
