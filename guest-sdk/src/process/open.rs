//! Opening an operator: its configuration is read, its states, side outputs and metrics are declared.

use super::ports::{AnyRows, Rows};
use super::state::{self, AnyEntries, Cells, ListEntries, MapEntries, Touch};
use super::{Aggregating, BroadcastMap, Clock, Column, List, Map, MapKey, Port, Reducing, Value};
use crate::aggregate::Aggregate;
use crate::bindings::wasmill::operator::descriptors::{self, Refresh, StateInfo, StateKind, TimeToLive};
use crate::bindings::wasmill::operator::descriptors::{Inheritance, OutputPort};
use crate::error::Error;
use crate::record::{Field, Record, RecordShape, Shape};
use crate::schema::Schema;
use crate::telemetry::{Counter, Histogram};
use crate::time::Duration;
use crate::value::Data;

/// What an operator can do when it is opened. There is no row and no key yet, so states are declared here and not
/// read.
pub struct Open<'o> {
    pub(super) config: &'o str,
    pub(super) input: &'o Schema,
    pub(super) reads: Reads,
    pub(super) states: Vec<StateInfo>,
    pub(super) cells: Vec<Cells>,
    pub(super) entries: Vec<Box<dyn AnyEntries>>,
    pub(super) ports: Vec<OutputPort>,
    pub(super) sides: Vec<Box<dyn AnyRows>>,
    pub(super) counters: Vec<String>,
    pub(super) histograms: Vec<String>,
}

impl Open<'_> {
    /// The job's `config` for this operator.
    ///
    /// ```
    /// # use wasmill_sdk::prelude::*;
    /// #[derive(Deserialize)]
    /// struct Config { #[serde(default)] limit: u64 }
    /// fn limit(cx: &Open<'_>) -> Result<u64, Error> { Ok(cx.config::<Config>()?.limit) }
    /// ```
    pub fn config<C: serde::de::DeserializeOwned>(&self) -> Result<C, Error> {
        crate::config::parse(self.config)
    }

    /// The columns of the input: all of them, not only those that the operator reads.
    pub fn input_schema(&self) -> &Schema {
        self.input
    }

    /// Reads a column of the input that [`Row::get`](super::Row::get) then has. Fails when there is none of that name and type.
    ///
    /// `T` is written with `'static` where it borrows: `cx.column::<&'static str>("user")`.
    pub fn column<T: Shape>(&mut self, name: &str) -> Result<Column<T>, Error> {
        let mut need = Schema::default();
        T::Of::describe(name, false, &mut need);
        Ok(Column::new(self.reads.add(self.input, &need)?))
    }

    /// A state with one value for each key. The name is durable: checkpoints know the state by it.
    pub fn value<T: Data + Default>(&mut self, name: &str) -> Value<T> {
        self.state(name).value()
    }

    /// A state that reduces what is added to it to one value for each key.
    pub fn reducing<T: Data + Default>(&mut self, name: &str, reduce: fn(T, T) -> T) -> Reducing<T> {
        self.state(name).reducing(reduce)
    }

    /// A state with an aggregate's accumulator for each key.
    pub fn aggregating<A: Aggregate>(&mut self, name: &str) -> Aggregating<A> {
        self.state(name).aggregating()
    }

    /// A state with a list for each key.
    pub fn list<T: Data + Default>(&mut self, name: &str) -> List<T> {
        self.state(name).list()
    }

    /// A list of each slot, for an operator without a key. When the job goes on from a checkpoint, the elements of all slots
    /// are dealt out to as many slots as there are then: each to one of them.
    pub fn split_list<T: Data + Default>(&mut self, name: &str) -> List<T> {
        self.state(name).split_list()
    }

    /// The same, but when the job goes on every slot gets the elements of all, and forgets those that are not its own: else
    /// they are as many times as many after the next start.
    pub fn union_list<T: Data + Default>(&mut self, name: &str) -> List<T> {
        self.state(name).union_list()
    }

    /// A state with an ordered map for each key.
    pub fn map<K: MapKey, V: Data + Default>(&mut self, name: &str) -> Map<K, V> {
        self.state(name).map()
    }

    /// Broadcast state: an ordered map of each slot, which all events read and broadcast rows write. For operators with a
    /// broadcast input ([`Broadcast`](crate::Broadcast)), keyed or not. It does not expire.
    pub fn broadcast_map<K: MapKey, V: Data + Default>(&mut self, name: &str) -> BroadcastMap<K, V> {
        self.state(name).broadcast_map()
    }

    /// A state with more to say of it than its name.
    pub fn state<'c>(&'c mut self, name: &str) -> State<'c> {
        State {
            name: name.to_owned(),
            version: 0,
            time_to_live: None,
            touch: None,
            states: &mut self.states,
            cells: &mut self.cells,
            entries: &mut self.entries,
        }
    }

    /// A side output, which jobs name `operator.name`.
    pub fn side_output<T: RecordShape>(&mut self, name: &str) -> Port<T> {
        let mut columns = Schema::default();
        T::Of::describe_fields(&mut columns);
        let port = Port::new(self.ports.len() as u32);
        let columns = columns.to_wire();
        self.ports.push(OutputPort { name: name.to_owned(), columns, inheritance: Inheritance::New });
        self.sides.push(Box::new(Rows::<T::Builder>::default()));
        port
    }

    /// A metric that only grows.
    pub fn counter(&mut self, name: &str) -> Counter {
        self.counters.push(name.to_owned());
        Counter(self.counters.len() - 1)
    }

    /// A metric of how values are distributed.
    pub fn histogram(&mut self, name: &str) -> Histogram {
        self.histograms.push(name.to_owned());
        Histogram(self.histograms.len() - 1)
    }
}

/// The columns of an input that are read.
#[derive(Default)]
pub(super) struct Reads {
    /// their numbers in the input's schema
    pub(super) columns: Vec<u32>,
    /// the columns that rows must have a value in though their schema does not promise it
    pub(super) required: Vec<(usize, String)>,
    /// how many columns of the batch they take
    width: usize,
}

impl Reads {
    /// Reads columns by name; the first is at the returned place.
    pub(super) fn add(&mut self, input: &Schema, need: &Schema) -> Result<usize, Error> {
        let at = self.width;
        for need in need.columns() {
            let column = input.find(need)?;
            if column.nullable() && !need.nullable() {
                self.required.push((self.width, need.name().to_owned()));
            }
            self.columns.push(column.number);
            self.width += column.width();
        }
        Ok(at)
    }
}

/// A state that is being declared.
pub struct State<'o> {
    name: String,
    version: u32,
    time_to_live: Option<TimeToLive>,
    touch: Option<Touch>,
    states: &'o mut Vec<StateInfo>,
    cells: &'o mut Vec<Cells>,
    entries: &'o mut Vec<Box<dyn AnyEntries>>,
}

impl State<'_> {
    /// Drops a key's value this long after it was last written; of a list each element, of a map each entry. Gone is
    /// gone: it is never seen again, and its space is freed though no event of the key comes.
    ///
    /// In event time, a value is as old as the latest event of its key in the call that wrote it, and is dropped when the
    /// watermark says so.
    pub fn expires_after(mut self, span: Duration, clock: Clock) -> Self {
        let micros = span.0.max(0) as u64;
        self.time_to_live = Some(TimeToLive { micros, clock: clock.into(), refresh: Refresh::OnWrite });
        self.touch = Some(state::touch);
        self
    }

    /// Reading keeps it alive as well: a value with each event of its key, elements and entries when they are read.
    pub fn refreshed_by_reads(mut self) -> Self {
        if let Some(time_to_live) = &mut self.time_to_live {
            time_to_live.refresh = Refresh::OnReadAndWrite;
        }
        self
    }

    /// The version of its type, for [`Process::migrate`](super::Process::migrate). Adding and removing fields needs none.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// One value for each key.
    pub fn value<T: Data + Default>(self) -> Value<T> {
        self.value_like(StateKind::Value)
    }

    /// See [`Open::reducing`].
    pub fn reducing<T: Data + Default>(self, reduce: fn(T, T) -> T) -> Reducing<T> {
        Reducing::new(self.value_like(StateKind::Reducing), reduce)
    }

    /// See [`Open::aggregating`].
    pub fn aggregating<A: Aggregate>(self) -> Aggregating<A> {
        Aggregating::new(self.value_like(StateKind::Aggregating))
    }

    /// See [`Open::list`].
    pub fn list<T: Data + Default>(self) -> List<T> {
        self.list_of(StateKind::Sequence)
    }

    /// See [`Open::split_list`].
    pub fn split_list<T: Data + Default>(self) -> List<T> {
        self.list_of(StateKind::OperatorSplit)
    }

    /// See [`Open::union_list`].
    pub fn union_list<T: Data + Default>(self) -> List<T> {
        self.list_of(StateKind::OperatorUnion)
    }

    fn list_of<T: Data + Default>(self, kind: StateKind) -> List<T> {
        let list = List::new(self.entries.len());
        self.entries.push(Box::new(ListEntries::new(self.states.len() as u32, T::WIDTH)));
        self.states.push(describe::<T>(&self.name, kind, self.version, self.time_to_live));
        list
    }

    /// See [`Open::map`].
    pub fn map<K: MapKey, V: Data + Default>(self) -> Map<K, V> {
        let entries = MapEntries::<K>::new(self.states.len() as u32, V::WIDTH);
        Map::new(self.map_of::<K, V>(StateKind::Map, entries))
    }

    /// See [`Open::broadcast_map`].
    pub fn broadcast_map<K: MapKey, V: Data + Default>(self) -> BroadcastMap<K, V> {
        let entries = MapEntries::<K>::broadcast(self.states.len() as u32, V::WIDTH);
        BroadcastMap::new(self.map_of::<K, V>(StateKind::Broadcast, entries))
    }

    /// Its number among the states with entries.
    fn map_of<K: MapKey, V: Data + Default>(self, kind: StateKind, entries: MapEntries<K>) -> usize {
        self.entries.push(Box::new(entries));
        let mut key_type = Schema::default();
        K::describe("key", false, &mut key_type);
        let info = describe::<V>(&self.name, kind, self.version, self.time_to_live);
        self.states.push(StateInfo { key_type: Some(key_type.to_wire()), ..info });
        self.entries.len() - 1
    }

    fn value_like<T: Data + Default>(self, kind: StateKind) -> Value<T> {
        let value = Value::new(self.cells.len());
        self.cells.push(Cells::new(self.states.len() as u32, T::WIDTH, self.touch));
        self.states.push(describe::<T>(&self.name, kind, self.version, self.time_to_live));
        value
    }
}

/// What the host is told of a state.
pub(crate) fn describe<T: Data + Default>(
    name: &str,
    kind: StateKind,
    version: u32,
    time_to_live: Option<TimeToLive>,
) -> StateInfo {
    let mut value_type = Schema::default();
    T::describe("value", false, &mut value_type);
    let mut defaults = Vec::new();
    T::default().encode(&mut defaults);
    let value_type = value_type.to_wire();
    StateInfo { name: name.to_owned(), kind, key_type: None, value_type, defaults, version, time_to_live }
}

impl From<Clock> for descriptors::Clock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::EventTime => Self::EventTime,
            Clock::ProcessingTime => Self::ProcessingTime,
        }
    }
}
