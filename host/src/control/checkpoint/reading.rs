//! Reads the state of a checkpoint or savepoint for people: by the schemas in its manifest, without the job and without
//! its plugins.

use std::fmt::Write;
use std::ops::Range;

use crate::connectors;
use crate::dataplane::window::Calendar;
use crate::dataplane::window::accumulator::Accumulator;
use crate::model::fault::Fault;
use crate::model::json::Json;
use crate::model::key::{self, Keys};
use crate::model::key_group::KeyGroup;
use crate::model::schema::{Field, Schema};
use crate::model::value;
use crate::state::snapshot::{ChunkSource, Content, entries};
use crate::storage::manifest::{AggregateRecord, FieldRecord, NodeRecord, Shape};

use super::record::{parse_accumulator, parse_window};
use super::restore::Origin;

/// What the windows of an operator are called where its states have names.
pub const WINDOWS: &str = "windows";

/// One value, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// An object of the key's columns.
    pub key: String,
    pub value: String,
}

/// A state, a timer or the windows of an operator of a checkpoint.
pub struct StateReader<'a> {
    origin: &'a Origin,
    node: &'a NodeRecord,
    key: Vec<Field>,
    layout: Layout,
}

/// Where its entries are, and what they look like.
enum Layout {
    /// The state with this number in rows of these.
    Value {
        states: Vec<Field>,
        number: usize,
    },
    /// The timer with this number.
    Timer(usize),
    Windows {
        calendar: Calendar,
        aggregates: Vec<(String, Accumulator)>,
    },
}

impl<'a> StateReader<'a> {
    /// The error names what there is instead.
    pub fn open(origin: &'a Origin, uid: &str, name: &str) -> Result<Self, Fault> {
        let nodes = &origin.manifest.nodes;
        let Some(node) = nodes.iter().find(|node| node.uid.as_str() == uid) else {
            let uids: Vec<&str> = nodes.iter().map(|node| node.uid.as_str()).collect();
            return Err(Fault::invalid(format!("there is no node `{uid}` in it: it knows {}", uids.join(", "))));
        };
        let (key, layout) = match &node.shape {
            Shape::Process { key, states, timers, .. } => {
                let state = states.iter().position(|state| state.value.name == name);
                let timer = timers.iter().position(|timer| timer == name);
                let layout = match (state, timer) {
                    (Some(number), _) => {
                        let states = states.iter().map(|state| state.value.parse()).collect::<Result<_, _>>()?;
                        Layout::Value { states, number }
                    }
                    (None, Some(number)) => Layout::Timer(number),
                    (None, None) => return Err(unknown(node, name)),
                };
                (key, layout)
            }
            Shape::Window { key, window, aggregates } if name == WINDOWS => (key, windows(window, aggregates)?),
            _ => return Err(unknown(node, name)),
        };
        let key = key.iter().map(FieldRecord::parse).collect::<Result<_, _>>()?;
        Ok(Self { origin, node, key, layout })
    }

    /// Calls `take` with each entry, in no order that means anything, until it says that it wants no more.
    pub fn scan(&self, take: &mut dyn FnMut(Entry) -> bool) -> Result<(), Fault> {
        self.read(0..self.origin.manifest.max_parallelism, None, take)
    }

    /// Calls `take` with the entries of one key, given as JSON: an object of its columns or, where it has one column,
    /// that; what is not JSON is text.
    pub fn get(&self, wanted: &str, take: &mut dyn FnMut(Entry) -> bool) -> Result<(), Fault> {
        let keys = self.encode(wanted)?;
        let KeyGroup(group) = keys.hash(0).group(self.origin.manifest.max_parallelism);
        self.read(group..group + 1, Some(keys.get(0)), take)
    }

    fn encode(&self, wanted: &str) -> Result<Keys, Fault> {
        let object = match (serde_json::from_str::<serde_json::Value>(wanted), &self.key[..]) {
            (Ok(object @ serde_json::Value::Object(_)), _) => object.to_string(),
            (Ok(value), [column]) if !is_textual(column) || value.is_string() => {
                serde_json::json!({ &column.name: value }).to_string()
            }
            (_, [column]) => serde_json::json!({ &column.name: wanted }).to_string(),
            (_, columns) => {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                return Err(Fault::invalid(format!(
                    "the key `{wanted}` is no JSON object of its columns: {}",
                    names.join(", ")
                )));
            }
        };
        let row = connectors::decode_json_row(&Schema::new(self.key.iter().cloned()), &object);
        let row =
            row.map_err(|error| Fault::invalid(format!("`{wanted}` is no key of `{}`: {error}", self.node.uid)))?;
        let mut keys = Keys::default();
        keys.encode(row.columns(), 1);
        Ok(keys)
    }

    fn read(&self, groups: Range<u16>, only: Option<&[u8]>, take: &mut dyn FnMut(Entry) -> bool) -> Result<(), Fault> {
        let mut wants_more = true;
        let mut chunks = self.origin.chunks(self.node, groups)?;
        if !chunks.native().is_empty() {
            return Err(Fault::invalid(format!(
                "the state of `{}` in `{}` is in RocksDB's own files, which cannot be read offline yet: make a checkpoint \
                 with `incremental = false`",
                self.node.uid,
                self.origin.path()
            )));
        }
        for content in self.layout.contents() {
            let read = chunks.read(*content, &mut |id, payload| {
                for entry in entries(payload) {
                    let (key, bytes) = entry?;
                    if only.is_some_and(|only| only != key) {
                        continue;
                    }
                    let broken = || {
                        let uid = &self.node.uid;
                        Fault::invalid(format!(
                            "an entry of `{uid}` in `{}` is not what the manifest says: key {}, value {}",
                            self.origin.path(),
                            hex::encode(key),
                            hex::encode(bytes)
                        ))
                    };
                    let (mut rest, mut text) = (key, Json::default());
                    key::json::read(&mut rest, &self.key, &mut text).filter(|()| rest.is_empty()).ok_or_else(broken)?;
                    let value = self.layout.value(id.number, bytes).ok_or_else(broken)?;
                    if let Some(value) = value {
                        wants_more = take(Entry { key: text.0, value });
                    }
                    if !wants_more {
                        // The only way to leave a reader early.
                        return Err(Fault::invalid("enough"));
                    }
                }
                Ok(())
            });
            if !wants_more {
                return Ok(());
            }
            read?;
        }
        Ok(())
    }
}

fn is_textual(column: &Field) -> bool {
    use crate::model::schema::DataType::*;
    matches!(column.data_type, Text | Bytes | FixedBytes(_) | Timestamp | Date)
}

fn unknown(node: &NodeRecord, name: &str) -> Fault {
    let names = names(&node.shape);
    let known = if names.is_empty() { "it keeps no state by key".to_owned() } else { names.join(", ") };
    Fault::invalid(format!("`{}` has no state `{name}`: {known}", node.uid))
}

/// What `StateReader::open` finds in a node.
pub fn names(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Source | Shape::Sink => Vec::new(),
        Shape::Window { .. } => vec![WINDOWS.to_owned()],
        Shape::Process { states, timers, .. } => {
            states.iter().map(|state| state.value.name.clone()).chain(timers.iter().cloned()).collect()
        }
    }
}

fn windows(window: &str, aggregates: &[AggregateRecord]) -> Result<Layout, Fault> {
    let unreadable = |what: &str| Fault::invalid(format!("the manifest has a window that cannot be read: {what}"));
    let calendar = Calendar::new(parse_window(window).ok_or_else(|| unreadable(window))?);
    let aggregates = aggregates.iter().map(|aggregate| {
        let accumulator = parse_accumulator(aggregate).ok_or_else(|| unreadable(&aggregate.function))?;
        Ok((aggregate.name.clone(), accumulator))
    });
    Ok(Layout::Windows { calendar, aggregates: aggregates.collect::<Result<_, Fault>>()? })
}

impl Layout {
    fn contents(&self) -> &'static [Content] {
        match self {
            Self::Value { .. } => &[Content::Rows],
            Self::Timer(_) => &[Content::EventTimers, Content::ProcessingTimers],
            Self::Windows { .. } => &[Content::Panes],
        }
    }

    /// The outer `None` = the bytes are none; the inner = the key has no such value.
    fn value(&self, number: u64, bytes: &[u8]) -> Option<Option<String>> {
        match self {
            Self::Value { states, number } => read_row(bytes, states, *number),
            Self::Timer(timer) => read_timer(bytes, *timer),
            Self::Windows { calendar, aggregates } => {
                read_pane(bytes, calendar, aggregates, number.cast_signed()).map(Some)
            }
        }
    }
}

/// A row holds for each state 0, or 1 and the value, its length before it unless that is fixed (`state/memory.rs`).
fn read_row(mut row: &[u8], states: &[Field], wanted: usize) -> Option<Option<String>> {
    let mut found = None;
    for (number, state) in states.iter().enumerate() {
        let (tag, rest) = row.split_first()?;
        row = rest;
        match tag {
            0 => continue,
            1 => {}
            _ => return None,
        }
        let width = if state.nullable { None } else { state.data_type.fixed_width() };
        let width = match width {
            Some(width) => width,
            None => {
                let (length, rest) = row.split_first_chunk()?;
                row = rest;
                u32::from_le_bytes(*length) as usize
            }
        };
        let (mut value, rest) = row.split_at_checked(width)?;
        row = rest;
        if number == wanted {
            let mut out = Json::default();
            value::json::read(&mut value, state, &mut out)?;
            value.is_empty().then_some(())?;
            found = Some(out.0);
        }
    }
    row.is_empty().then_some(found)
}

/// The timers of a key: each a number (u32) and a time (i64).
fn read_timer(bytes: &[u8], wanted: usize) -> Option<Option<String>> {
    let (timers, rest) = bytes.as_chunks::<12>();
    rest.is_empty().then_some(())?;
    let set = timers.iter().find_map(|[a, b, c, d, at @ ..]| {
        (u32::from_le_bytes([*a, *b, *c, *d]) as usize == wanted).then(|| i64::from_le_bytes(*at))
    });
    Some(set.map(|at| {
        let mut out = Json::default();
        out.timestamp(at);
        out.0
    }))
}

fn read_pane(
    mut bytes: &[u8],
    calendar: &Calendar,
    aggregates: &[(String, Accumulator)],
    number: i64,
) -> Option<String> {
    let times = calendar.pane_times(number);
    let mut out = Json::default();
    out.raw("{\"pane_start\":");
    out.timestamp(times.start);
    out.raw(",\"pane_end\":");
    out.timestamp(times.end);
    for (name, accumulator) in aggregates {
        out.name(name, false);
        accumulator.read_json(&mut bytes, &mut out)?;
    }
    let _ = out.0.write_char('}');
    bytes.is_empty().then_some(out.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::schema::DataType;

    #[test]
    fn rows_hold_each_state_or_not() {
        let states = [Field::new("n", DataType::U16), Field::new("s", DataType::Text)];
        let row = [&[1, 2, 1, 1][..], &6u32.to_le_bytes(), &2u32.to_le_bytes(), b"hi"].concat();
        assert_eq!(read_row(&row, &states, 0), Some(Some("258".to_owned())));
        assert_eq!(read_row(&row, &states, 1), Some(Some("\"hi\"".to_owned())));
        assert_eq!(read_row(&[0, 0], &states, 1), Some(None));
        assert_eq!(read_row(&row[..row.len() - 1], &states, 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let states = [Field::nullable("n", DataType::I64), Field::new("s", DataType::Text)];
            let _ = read_row(&bytes, &states, 1);
            let _ = read_timer(&bytes, 0);
            let calendar = Calendar::new(parse_window("60 us every 10 us from 0 us").unwrap());
            let aggregates = [("a".to_owned(), Accumulator::Best(DataType::Text))];
            let _ = read_pane(&bytes, &calendar, &aggregates, i64::MIN);
            let fields = [Field::new("k", DataType::Text), Field::new("n", DataType::F32)];
            let _ = key::json::read(&mut &bytes[..], &fields, &mut Json::default());
        }
    }
}
