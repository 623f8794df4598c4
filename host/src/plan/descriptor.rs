//! What a component says of its operators, in the host's own types: `wit/operator.wit` has the contract.

use std::fmt;

use crate::model::schema::{DataType, Field, Schema};
use crate::model::time::Micros;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorKind {
    Process,
    Aggregate,
}

/// One operator of a component, as `describe` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorInfo {
    pub name: String,
    pub kind: OperatorKind,
    pub summary: String,
    pub inputs: Vec<InputNeed>,
    pub keyed: bool,
    /// The columns of the key, by position.
    pub key: Schema,
    pub config_schema: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct InputNeed {
    pub name: String,
    pub columns: Schema,
    /// It takes any schema that has these columns, and decides at `open` what it reads.
    pub generic: bool,
}

/// An operator opened on its input schemas.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// For each input the columns to pass, as indices into its schema.
    pub reads: Vec<Vec<usize>>,
    pub reads_times: bool,
    /// The first is the main output.
    pub outputs: Vec<OutputPort>,
    pub states: Vec<StateInfo>,
    pub timers: Vec<TimerInfo>,
    pub counters: Vec<String>,
    pub histograms: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OutputPort {
    pub name: String,
    /// The columns that it writes.
    pub columns: Schema,
    /// Whether every other column is inherited from the input row.
    pub extends: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StateInfo {
    pub name: String,
    pub kind: StateKind,
    /// Of a map's keys.
    pub key: Option<Field>,
    /// Of a value, of an element, of an entry's value.
    pub value: Field,
    /// An encoded value with the defaults of its fields.
    pub defaults: Vec<u8>,
    pub version: u32,
    pub time_to_live: Option<TimeToLive>,
}

/// What was written so long ago is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    pub length: Micros,
    pub clock: Clock,
    /// Reading counts as writing.
    pub refreshed_by_reads: bool,
}

impl StateInfo {
    /// The bytes of every value, if they are the same for all.
    pub fn width(&self) -> Option<usize> {
        if self.value.nullable { None } else { self.value.data_type.fixed_width() }
    }

    /// The same as it is stored: a value that expires has its time before it (`state::expiry`).
    pub fn stored_width(&self) -> Option<usize> {
        const TIME_BYTES: usize = size_of::<i64>();
        self.width().map(|width| width + if self.time_to_live.is_some() { TIME_BYTES } else { 0 })
    }
}

/// How a state is kept: `state-kind` of the WIT says what each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    Value,
    Reducing,
    /// Also a window aggregate's accumulator.
    Aggregating,
    List,
    Map,
    /// A list of each slot of an operator without a key, dealt out round robin when a job goes on.
    OperatorSplit,
    /// The same, but every slot gets the elements of all.
    OperatorUnion,
    /// A map of each slot, the same in all of them: made of an input that every slot gets whole.
    Broadcast,
}

impl StateKind {
    const ALL: [Self; 8] = [
        Self::Value,
        Self::Reducing,
        Self::Aggregating,
        Self::List,
        Self::Map,
        Self::OperatorSplit,
        Self::OperatorUnion,
        Self::Broadcast,
    ];

    /// The kind that is displayed like this.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == text)
    }

    /// One value for each key, which travels with the call. Others are entries.
    pub fn is_value_like(self) -> bool {
        match self {
            Self::Value | Self::Reducing | Self::Aggregating => true,
            Self::List | Self::Map | Self::OperatorSplit | Self::OperatorUnion | Self::Broadcast => false,
        }
    }

    /// Entries that are numbered.
    pub fn is_list(self) -> bool {
        matches!(self, Self::List) || self.is_operator_state()
    }

    /// A list of a slot, and not of a key.
    pub fn is_operator_state(self) -> bool {
        matches!(self, Self::OperatorSplit | Self::OperatorUnion)
    }

    /// Entries with keys of their own.
    pub fn is_map(self) -> bool {
        matches!(self, Self::Map | Self::Broadcast)
    }
}

/// As checkpoints and people call it.
impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "value",
            Self::Reducing => "reducing",
            Self::Aggregating => "aggregating",
            Self::List => "list",
            Self::Map => "map",
            Self::OperatorSplit => "operator-split",
            Self::OperatorUnion => "operator-union",
            Self::Broadcast => "broadcast",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    pub name: String,
    pub clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    EventTime,
    ProcessingTime,
}

/// As checkpoints and people call it.
impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventTime => "event-time",
            Self::ProcessingTime => "processing-time",
        })
    }
}

impl Descriptor {
    /// Whether each slot may have state of its own: none of it is by key.
    pub fn is_state_by_slot(&self) -> bool {
        self.states.iter().all(|state| state.kind.is_operator_state() || state.kind == StateKind::Broadcast)
    }

    pub fn has_broadcast_state(&self) -> bool {
        self.states.iter().any(|state| state.kind == StateKind::Broadcast)
    }

    /// The schema of a port: what it writes and, if it extends its input, the input's other columns before that.
    pub fn output_schema(&self, port: usize, input: &Schema) -> Schema {
        let port = &self.outputs[port];
        if !port.extends {
            return port.columns.clone();
        }
        let inherited = input.fields().iter().filter(|field| port.columns.field(&field.name).is_none());
        Schema::new(inherited.chain(port.columns.fields()).cloned())
    }
}

/// The type of the window bounds that a window puts before its aggregates.
pub const WINDOW_BOUND: DataType = DataType::Timestamp;
