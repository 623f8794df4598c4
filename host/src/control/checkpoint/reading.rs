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
use crate::model::schema::{DataType, Field, Schema};
use crate::model::value;
use crate::plan::descriptor::StateKind;
use crate::plan::state_backend::RocksDbPlan;
use crate::state::StateLayout;
use crate::state::broadcast::COPY_GROUP;
use crate::state::expiry::STAMP_BYTES;
use crate::state::snapshot::{ChunkId, ChunkSource, Content, entries};
use crate::storage::manifest::{AggregateRecord, FieldRecord, NodeRecord, Shape, StateRecord};
use crate::storage::rocksdb::{RocksDb, TakeEntry};
use crate::storage::state_file::SlotsOfState;

use super::record::{parse_accumulator, parse_window};
use super::restore::Origin;

/// What the windows of an operator are called where its states have names.
pub const WINDOWS: &str = "windows";

/// One value, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// An object of the key's columns.
    pub key: String,
    /// Of a list the number of the element, of a map the entry's key.
    pub place: Option<String>,
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
    /// The value with this number in rows of these.
    Value {
        values: Vec<Stored>,
        number: usize,
    },
    /// The entries of the state with this number.
    Entries {
        number: usize,
        place: DataType,
        value: Stored,
        /// They are of the slots, and not of a key.
        is_broadcast: bool,
    },
    /// The timer with this number.
    Timer(usize),
    Windows {
        calendar: Calendar,
        aggregates: Vec<(String, Accumulator)>,
    },
}

/// A value as it is kept.
struct Stored {
    field: Field,
    /// Its time stands before it.
    expires: bool,
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
                    (Some(number), _) => Layout::of_state(states, number)?,
                    (None, Some(number)) => Layout::Timer(number),
                    (None, None) => return Err(unknown(node, name)),
                };
                (key, layout)
            }
            Shape::Window { key, window, aggregates } if name == WINDOWS => (key, windows(window, aggregates)?),
            _ => return Err(unknown(node, name)),
        };
        let key: Vec<Field> = match &layout {
            Layout::Entries { is_broadcast: true, .. } => Vec::new(),
            _ => key.iter().map(FieldRecord::parse).collect::<Result<_, _>>()?,
        };
        Ok(Self { origin, node, key, layout })
    }

    /// Calls `take` with each entry, in no order that means anything, until it says that it wants no more.
    pub fn scan(&self, take: &mut dyn FnMut(Entry) -> bool) -> Result<(), Fault> {
        self.read(0..self.origin.manifest.max_parallelism, None, &mut |_, entry| take(entry))
    }

    /// Calls `take` with the entries of one key, given as JSON: an object of its columns or, where it has one column,
    /// that; what is not JSON is text. Those of a list or map come in order.
    pub fn get(&self, wanted: &str, take: &mut dyn FnMut(Entry) -> bool) -> Result<(), Fault> {
        let keys = self.encode(wanted)?;
        let KeyGroup(group) = match &self.layout {
            Layout::Entries { is_broadcast: true, .. } => COPY_GROUP,
            _ => keys.hash(0).group(self.origin.manifest.max_parallelism),
        };
        let mut found = Vec::new();
        self.read(group..group + 1, Some(keys.get(0)), &mut |at, entry| {
            found.push((at.to_vec(), entry));
            true
        })?;
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let _ = found.into_iter().all(|(_, entry)| take(entry));
        Ok(())
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

    /// `take` gets the bytes of the key, or the address, too.
    fn read(
        &self,
        groups: Range<u16>,
        only: Option<&[u8]>,
        take: &mut dyn FnMut(&[u8], Entry) -> bool,
    ) -> Result<(), Fault> {
        let mut wants_more = true;
        let mut read = |id: ChunkId, key: &[u8], value: &[u8]| {
            let broken = || {
                let (uid, path) = (&self.node.uid, self.origin.path());
                let (key, value) = (hex::encode(key), hex::encode(value));
                Fault::invalid(format!(
                    "an entry of `{uid}` in `{path}` is not what the manifest says: key {key}, value {value}"
                ))
            };
            if let Some(entry) = self.entry(id.number, key, value, only).ok_or_else(broken)? {
                wants_more = take(key, entry);
            }
            // The only way to leave a reader early.
            if wants_more { Ok(()) } else { Err(Fault::invalid("enough")) }
        };
        let mut chunks = self.origin.chunks(self.node, groups.clone())?;
        let read = self.read_all(&mut chunks, &groups, &mut read);
        if wants_more { read } else { Ok(()) }
    }

    fn read_all(&self, chunks: &mut SlotsOfState, groups: &Range<u16>, read: &mut TakeEntry<'_>) -> Result<(), Fault> {
        for content in self.layout.contents() {
            chunks.read(*content, &mut |id, payload| {
                entries(payload).try_for_each(|entry| entry.and_then(|(key, value)| read(id, key, value)))
            })?;
        }
        let native = chunks.native();
        if native.is_empty() {
            return Ok(());
        }
        let folder = std::env::temp_dir().join("wasmill-reading");
        let rocksdb = RocksDb::start(&RocksDbPlan::new(folder))?;
        native.into_iter().try_for_each(|files| {
            rocksdb.read(files, groups, &mut |id, key, value| match self.layout.contents().contains(&id.content) {
                true => read(id, key, value),
                false => Ok(()),
            })
        })
    }

    /// The outer `None` = the bytes cannot be read; the inner = there is nothing of this state, or of the key `only`.
    fn entry(&self, number: u64, key: &[u8], value: &[u8], only: Option<&[u8]>) -> Option<Option<Entry>> {
        let (mut rest, mut text) = (key, Json::default());
        if let Layout::Entries { number, .. } = &self.layout {
            let (state, behind) = key.split_first_chunk()?;
            if usize::from(u16::from_be_bytes(*state)) != *number {
                return Some(None);
            }
            rest = behind;
        }
        let start = rest;
        key::json::read(&mut rest, &self.key, &mut text)?;
        if only.is_some_and(|only| *only != start[..start.len() - rest.len()]) {
            return Some(None);
        }
        let mut place = None;
        if let Layout::Entries { place: data_type, .. } = &self.layout {
            let mut text = Json::default();
            key::json::read_column(&mut rest, data_type, &mut text).ok()?;
            place = Some(text.0);
        }
        rest.is_empty().then_some(())?;
        Some(self.layout.value(number, value)?.map(|value| Entry { key: text.0, place, value }))
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
        Shape::Source { .. } | Shape::Sink => Vec::new(),
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
    /// Of the state with this number.
    fn of_state(states: &[StateRecord], number: usize) -> Result<Self, Fault> {
        let stored =
            |state: &StateRecord| Ok(Stored { field: state.value.parse()?, expires: state.expires_in.is_some() });
        let state = &states[number];
        if let StateLayout::Entries { .. } = state.layout()? {
            let place = state.key()?.map_or(DataType::U64, |key| key.data_type);
            let is_broadcast = state.kind()? == StateKind::Broadcast;
            return Ok(Self::Entries { number, place, value: stored(state)?, is_broadcast });
        }
        let mut values = Vec::new();
        let mut at = 0;
        for (i, state) in states.iter().enumerate() {
            if i == number {
                at = values.len();
            }
            if let StateLayout::Value { .. } = state.layout()? {
                values.push(stored(state)?);
            }
        }
        Ok(Self::Value { values, number: at })
    }

    fn contents(&self) -> &'static [Content] {
        match self {
            Self::Value { .. } => &[Content::Rows],
            Self::Entries { is_broadcast: true, .. } => &[Content::Broadcast],
            Self::Entries { .. } => &[Content::Entries],
            Self::Timer(_) => &[Content::EventTimers, Content::ProcessingTimers],
            Self::Windows { .. } => &[Content::Panes],
        }
    }

    /// The outer `None` = the bytes cannot be read; the inner = the key has no such value.
    fn value(&self, number: u64, bytes: &[u8]) -> Option<Option<String>> {
        match self {
            Self::Value { values, number } => read_row(bytes, values, *number),
            Self::Entries { value, .. } => value.read(bytes).map(Some),
            Self::Timer(timer) => read_timer(bytes, *timer),
            Self::Windows { calendar, aggregates } => {
                read_pane(bytes, calendar, aggregates, number.cast_signed()).map(Some)
            }
        }
    }
}

impl Stored {
    /// The bytes of every value with its time, if they are the same for all.
    fn width(&self) -> Option<usize> {
        let width = if self.field.nullable { None } else { self.field.data_type.fixed_width() };
        width.map(|width| width + if self.expires { STAMP_BYTES } else { 0 })
    }

    fn read(&self, mut bytes: &[u8]) -> Option<String> {
        if self.expires {
            bytes = bytes.split_at_checked(STAMP_BYTES)?.1;
        }
        let mut out = Json::default();
        value::json::read(&mut bytes, &self.field, &mut out)?;
        bytes.is_empty().then_some(out.0)
    }
}

/// A row holds for each value 0, or 1 and the value, its length before it unless that is fixed (`state/row.rs`).
fn read_row(mut row: &[u8], values: &[Stored], wanted: usize) -> Option<Option<String>> {
    let mut found = None;
    for (number, value) in values.iter().enumerate() {
        let (tag, rest) = row.split_first()?;
        row = rest;
        match tag {
            0 => continue,
            1 => {}
            _ => return None,
        }
        let width = match value.width() {
            Some(width) => width,
            None => {
                let (length, rest) = row.split_first_chunk()?;
                row = rest;
                u32::from_le_bytes(*length) as usize
            }
        };
        let (bytes, rest) = row.split_at_checked(width)?;
        row = rest;
        if number == wanted {
            found = Some(value.read(bytes)?);
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

    #[test]
    fn rows_hold_each_state_or_not() {
        let stored = |name, data_type| Stored { field: Field::new(name, data_type), expires: false };
        let states = [stored("n", DataType::U16), stored("s", DataType::Text)];
        let row = [&[1, 2, 1, 1][..], &6u32.to_le_bytes(), &2u32.to_le_bytes(), b"hi"].concat();
        assert_eq!(read_row(&row, &states, 0), Some(Some("258".to_owned())));
        assert_eq!(read_row(&row, &states, 1), Some(Some("\"hi\"".to_owned())));
        assert_eq!(read_row(&[0, 0], &states, 1), Some(None));
        assert_eq!(read_row(&row[..row.len() - 1], &states, 0), None);
        let expiring = [Stored { field: Field::new("n", DataType::U16), expires: true }];
        assert_eq!(read_row(&[1, 9, 9, 9, 9, 9, 9, 9, 9, 2, 1], &expiring, 0), Some(Some("258".to_owned())));
        assert_eq!(expiring[0].read(&[9]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let fields = [Field::nullable("n", DataType::I64), Field::new("s", DataType::Text)];
            let states = fields.map(|field| Stored { field, expires: true });
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
