//! Sources and sinks of Kafka.

use std::collections::BTreeMap;

use chrono::DateTime;
use regex::Regex;

use crate::model::schema::{DataType, Field};
use crate::model::time::{Micros, Timestamp};
use crate::model::type_name::parse_field;
use crate::plan::connector::{
    Delivery, KafkaCluster, KafkaSink, KafkaSource, KafkaStart, KafkaTopic, MessageFormat, MetadataColumn,
    MetadataKind, SinkFormat,
};
use crate::plan::diagnostic::{all, quoted};

use super::reader::{self, Reader, choose, nowhere};
use super::sink::{ColumnRole, NamedColumns};
use super::source::message_format;
use super::tree::{Entry, Item, Value};

const DISCOVER_INTERVAL: Micros = Micros(60_000_000);
const PREFETCH_BYTES: u64 = 4 << 20;
const QUEUE_BYTES: u64 = 64 << 20;
/// librdkafka counts both in KiB, and up to 2 GiB.
const QUEUE_BYTES_MIN: u64 = 64 << 10;
const QUEUE_BYTES_MAX: u64 = 2 << 30;

const STARTS: [(&str, KafkaStart); 3] =
    [("earliest", KafkaStart::Earliest), ("latest", KafkaStart::Latest), ("committed", KafkaStart::Committed)];
const METADATA: [(&str, MetadataKind); 6] = [
    ("key", MetadataKind::Key),
    ("headers", MetadataKind::Headers),
    ("timestamp", MetadataKind::Timestamp),
    ("topic", MetadataKind::Topic),
    ("partition", MetadataKind::Partition),
    ("offset", MetadataKind::Offset),
];
const FORMATS: [(&str, MessageFormat); 3] = [
    ("json", MessageFormat::Rows(SinkFormat::Json)),
    ("csv", MessageFormat::Rows(SinkFormat::Csv)),
    ("raw", MessageFormat::Raw),
];

const DELIVERIES: [(&str, Delivery); 2] =
    [("at-least-once", Delivery::AtLeastOnce), ("exactly-once", Delivery::ExactlyOnce)];

/// What librdkafka must not be told by the user, and why.
const OWNED: [(&str, &str); 5] = [
    ("bootstrap.servers", "write `brokers`"),
    ("metadata.broker.list", "write `brokers`"),
    ("client.rack", "the connector reads from leaders"),
    ("log.queue", "the connector reads the log"),
    ("statistics.interval.ms", "the connector asks for what it needs"),
];
const OWNED_OF_SOURCE: [(&str, &str); 14] = [
    ("group.id", "write `group`"),
    ("group.instance.id", "partitions are assigned to slots, not by the group"),
    ("group.protocol", "partitions are assigned to slots, not by the group"),
    ("partition.assignment.strategy", "partitions are assigned to slots, not by the group"),
    ("enable.auto.commit", "offsets are kept in checkpoints"),
    ("auto.commit.enable", "offsets are kept in checkpoints"),
    ("auto.commit.interval.ms", "offsets are kept in checkpoints"),
    ("enable.auto.offset.store", "offsets are kept in checkpoints"),
    ("auto.offset.reset", "write `start`; an offset that is lost later stops the job"),
    ("enable.partition.eof", "write `bounded`"),
    ("queued.max.messages.kbytes", "write `prefetch_bytes_max`"),
    ("queued.min.messages", "write `prefetch_bytes_max`"),
    ("topic.blacklist", "write `topics`"),
    ("allow.auto.create.topics", "a source creates no topics"),
];
const OWNED_OF_SINK: [(&str, &str); 11] = [
    ("transactional.id", "write `delivery`"),
    ("enable.idempotence", "it is always on, so that nothing is lost, reordered or sent twice"),
    ("enable.gapless.guarantee", "the order of messages is always kept"),
    ("acks", "it is always `all`, so that nothing is lost"),
    ("request.required.acks", "it is always `all`, so that nothing is lost"),
    ("max.in.flight", "the order of messages is always kept"),
    ("max.in.flight.requests.per.connection", "the order of messages is always kept"),
    ("partitioner", "it is Java's, murmur2, so that keys are where other producers put them"),
    ("queue.buffering.max.kbytes", "write `queue_bytes_max`"),
    ("queue.buffering.max.messages", "write `queue_bytes_max`"),
    ("delivery.report.only.error", "failures are what the connector asks for"),
];

pub fn source(fields: &mut Reader) -> Option<KafkaSource> {
    let cluster = cluster(fields, &OWNED_OF_SOURCE);
    let topics = fields.required("topics", topics);
    let format = message_format(fields);
    let group = fields.text("group");
    let start = start(fields, group.is_some());
    let bounded = fields.boolean("bounded").unwrap_or(false);
    let discover_interval = if bounded { None } else { fields.length("discover_interval") };
    let prefetch_bytes_max = queue_bytes(fields, "prefetch_bytes_max", PREFETCH_BYTES);
    let metadata = metadata(fields);
    Some(KafkaSource {
        cluster: cluster?,
        topics: topics?,
        format: format?,
        start: start?,
        group: group.map(|group| group.value),
        bounded,
        discover_interval: discover_interval.map_or(DISCOVER_INTERVAL, |interval| interval.value),
        prefetch_bytes_max: prefetch_bytes_max?,
        metadata: metadata?,
    })
}

/// The sink, and what it uses columns for.
pub fn sink(fields: &mut Reader) -> Option<(KafkaSink, NamedColumns)> {
    let mut columns = Vec::new();
    let cluster = cluster(fields, &OWNED_OF_SINK);
    let topic = topic(fields, &mut columns);
    let format = fields.required("format", |fields, name| fields.choice(name, &FORMATS));
    let key = names(fields, "key", ColumnRole::Key, &mut columns);
    let value = names(fields, "value", ColumnRole::Value, &mut columns);
    let headers = headers(fields, &mut columns);
    let timestamp = fields.text("timestamp");
    columns.extend(timestamp.iter().map(|name| (name.clone(), ColumnRole::Timestamp)));
    let queue_bytes_max = queue_bytes(fields, "queue_bytes_max", QUEUE_BYTES);
    let delivery = fields.choice("delivery", &DELIVERIES).map_or(Delivery::AtLeastOnce, |delivery| delivery.value);
    let sink = KafkaSink {
        cluster: cluster?,
        topic: topic?,
        format: format?.value,
        key: key?.unwrap_or_default(),
        value: value?,
        headers: headers?,
        timestamp: timestamp.map(|name| name.value),
        queue_bytes_max: queue_bytes_max?,
        delivery,
    };
    Some((sink, columns))
}

fn cluster(fields: &mut Reader, owned: &[(&str, &str)]) -> Option<KafkaCluster> {
    let brokers = fields.required("brokers", Reader::text);
    let mut properties = BTreeMap::new();
    let mut good = true;
    for entry in fields.named("properties").unwrap_or_default() {
        match property(entry, fields, owned) {
            Some(value) => drop(properties.insert(entry.name.value.clone(), value)),
            None => good = false,
        }
    }
    let brokers = brokers.filter(|brokers| {
        let named = brokers.split(',').all(|broker| !broker.trim().is_empty());
        if !named {
            let help = "for example: brokers = \"kafka-1:9092,kafka-2:9092\"";
            fields.errors.add_with_help(brokers.span, "`brokers` must name hosts and ports", help);
        }
        named
    });
    Some(KafkaCluster { brokers: brokers.filter(|_| good)?.value, properties })
}

fn property(entry: &Entry, fields: &Reader, owned: &[(&str, &str)]) -> Option<String> {
    let name = entry.name.value.as_str();
    if let Some((_, why)) = OWNED.iter().chain(owned).find(|(owned, _)| *owned == name) {
        fields.errors.add(entry.name.span, format!("`{name}` cannot be set as a property: {why}"));
        return None;
    }
    match &entry.item.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        // `security.protocol = ..` without quotes is a table in a table.
        Value::Table(_) => {
            let help = format!("quote the whole name, such as \"{name}.protocol\" = \"..\"");
            fields.errors.add_with_help(entry.name.span, format!("the property `{name}` is a table"), help);
            None
        }
        other => {
            let message = format!("the property `{name}` must be a text, not {}", other.type_name());
            fields.errors.add(entry.item.span, message);
            None
        }
    }
}

fn topics(fields: &mut Reader, name: &'static str) -> Option<Vec<String>> {
    let items = fields.array(name)?;
    if items.is_empty() {
        fields.errors.add(items.span, "`topics` needs at least one topic");
        return None;
    }
    all(items.iter().map(|item| topic_or_pattern(name, item, fields)))
}

fn topic_or_pattern(name: &str, item: &Item, fields: &Reader) -> Option<String> {
    let topic = reader::text(name, item, fields.errors)?;
    let wrong = if topic.starts_with('^') {
        Regex::new(&topic).err().map(|error| not_a_pattern(&topic, &error.to_string()))
    } else {
        not_a_topic(&topic)
    };
    match wrong {
        None => Some(topic.value),
        Some(message) => {
            fields.errors.add(topic.span, message);
            None
        }
    }
}

/// The last of the error's lines says why; those before it show the pattern.
fn not_a_pattern(pattern: &str, error: &str) -> String {
    let why = error.lines().last().unwrap_or_default();
    format!("`{pattern}` is not a regular expression: {}", why.strip_prefix("error: ").unwrap_or(why))
}

/// Kafka's rule for names of topics.
fn not_a_topic(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=249).contains(&name.len()) && name != "." && name != ".." && name.chars().all(allowed);
    (!good).then(|| {
        format!("`{name}` cannot be the name of a topic: it has 1 to 249 letters, digits, `.`, `_` and `-`; a pattern starts with `^`")
    })
}

fn start(fields: &mut Reader, has_group: bool) -> Option<KafkaStart> {
    let Some(item) = fields.item("start") else { return Some(KafkaStart::Earliest) };
    if let Value::Table(_) = item.value {
        let mut table = Reader::of("`start`", item, fields.errors)?;
        let text = table.required("timestamp", Reader::text);
        table.finish(nowhere);
        let text = text?;
        return match DateTime::parse_from_rfc3339(&text) {
            Ok(at) => Some(KafkaStart::Timestamp(Timestamp(at.timestamp_micros()))),
            Err(_) => {
                let message = format!("`{}` is not a time such as 2026-01-31T12:00:00Z", text.value);
                fields.errors.add(text.span, message);
                None
            }
        };
    }
    let word = reader::text("start", item, fields.errors)?;
    let start = choose("start", &word, &STARTS, fields.errors)?;
    if start.value == KafkaStart::Committed && !has_group {
        let help = "write group = \"..\" beside it";
        fields.errors.add_with_help(start.span, "to start at `committed` offsets needs a `group`", help);
        return None;
    }
    Some(start.value)
}

fn metadata(fields: &mut Reader) -> Option<Vec<MetadataColumn>> {
    let entries = fields.named("metadata").unwrap_or_default();
    let columns = all(entries.iter().map(|entry| metadata_column(entry, fields)))?;
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|earlier| earlier.field.name == column.field.name) {
            let message = format!("two columns of `metadata` are called `{}`", column.field.name);
            fields.errors.add(entries[i].item.span, message);
            return None;
        }
    }
    Some(columns)
}

fn metadata_column(entry: &Entry, fields: &Reader) -> Option<MetadataColumn> {
    let kind = choose("metadata", &entry.name, &METADATA, fields.errors)?.value;
    let (name, data_type) = match &entry.item.value {
        Value::Table(_) => {
            let mut table = Reader::of(&format!("`{}`", entry.name.value), &entry.item, fields.errors)?;
            let name = table.required("column", Reader::text);
            let data_type = table.text("type");
            table.finish(nowhere);
            (name?, data_type)
        }
        _ => (reader::text(&entry.name, &entry.item, fields.errors)?, None),
    };
    let allowed = types(kind);
    let written = data_type.as_ref().map_or(allowed[0], |written| written.value.as_str());
    match parse_field(&name, written) {
        Ok(field) if allowed.iter().any(|allowed| parse_field(&name, allowed).as_ref() == Ok(&field)) => {
            Some(MetadataColumn { kind, field })
        }
        _ => {
            let span = data_type.as_ref().map_or(entry.item.span, |written| written.span);
            let message = format!("the type of `{}` cannot be `{written}`", entry.name.value);
            let allowed = format!("allowed here: {}", quoted(allowed.iter().copied()));
            fields.errors.add_with_help(span, message, allowed);
            None
        }
    }
}

/// The types that a column of this kind may have, its own first.
fn types(kind: MetadataKind) -> &'static [&'static str] {
    match kind {
        MetadataKind::Key => &["text?", "text", "bytes?", "bytes"],
        MetadataKind::Headers => &["list<struct<name: text, value: bytes?>>"],
        MetadataKind::Timestamp => &["timestamp"],
        MetadataKind::Topic => &["text"],
        MetadataKind::Partition => &["i32"],
        MetadataKind::Offset => &["i64"],
    }
}

fn topic(fields: &mut Reader, columns: &mut NamedColumns) -> Option<KafkaTopic> {
    if fields.has("topic_column") {
        let entry = fields.entry("topic");
        if let Some(entry) = entry {
            fields.errors.add(entry.name.span, "a sink has a `topic` or a `topic_column`, not both");
        }
        let column = fields.text("topic_column")?;
        columns.push((column.clone(), ColumnRole::Topic));
        return Some(KafkaTopic::Column(column.value));
    }
    let topic = fields.required("topic", Reader::text)?;
    fields.entry("topic_column");
    if let Some(wrong) = not_a_topic(&topic) {
        fields.errors.add(topic.span, wrong);
        return None;
    }
    Some(KafkaTopic::Named(topic.value))
}

/// A list of columns; the outer `None` is a mistake.
fn names(
    fields: &mut Reader,
    option: &'static str,
    role: ColumnRole,
    columns: &mut NamedColumns,
) -> Option<Option<Vec<String>>> {
    if !fields.has(option) {
        fields.entry(option);
        return Some(None);
    }
    let items = fields.array(option)?;
    if items.is_empty() {
        fields.errors.add(items.span, format!("`{option}` needs at least one column; leave it out for its default"));
        return None;
    }
    let names = all(items.iter().map(|item| reader::text(option, item, fields.errors)))?;
    columns.extend(names.iter().map(|name| (name.clone(), role)));
    Some(Some(names.into_iter().map(|name| name.value).collect()))
}

fn headers(fields: &mut Reader, columns: &mut NamedColumns) -> Option<Vec<(String, String)>> {
    let entries = fields.named("headers").unwrap_or_default();
    all(entries.iter().map(|entry| {
        let column = reader::text(&entry.name, &entry.item, fields.errors)?;
        columns.push((column.clone(), ColumnRole::Header));
        Some((entry.name.value.clone(), column.value))
    }))
}

/// The outer `None` is a mistake.
fn queue_bytes(fields: &mut Reader, name: &'static str, default: u64) -> Option<u64> {
    if !fields.has(name) {
        fields.entry(name);
        return Some(default);
    }
    let size = fields.bytes(name)?;
    if !(QUEUE_BYTES_MIN..QUEUE_BYTES_MAX).contains(&size.value) {
        fields.errors.add(size.span, format!("`{name}` must be at least 64KiB and below 2GiB"));
        return None;
    }
    Some(size.value)
}

impl ColumnRole {
    /// Whether a column of this type can have the role; otherwise what it must be.
    pub fn check(self, field: &Field) -> Result<(), &'static str> {
        let is_bytes = matches!(field.data_type, DataType::Text | DataType::Bytes);
        match self {
            Self::Key | Self::Value => Ok(()),
            Self::Topic if field.data_type == DataType::Text && !field.nullable => Ok(()),
            Self::Topic => Err("a topic's name is text, and never null"),
            Self::Header if is_bytes => Ok(()),
            Self::Header => Err("a header is text or bytes"),
            Self::Timestamp if field.data_type == DataType::Timestamp && !field.nullable => Ok(()),
            Self::Timestamp => Err("a message's timestamp is a timestamp, and never null"),
        }
    }
}
