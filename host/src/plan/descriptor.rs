//! What a component says of its operators, in the host's own types: `wit/operator.wit` has the contract.

use std::fmt;

use crate::model::schema::{DataType, Field, Schema};

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
    pub value: Field,
    /// An encoded value with the defaults of its fields.
    pub defaults: Vec<u8>,
    pub version: u32,
}

impl StateInfo {
    /// The bytes of every value, if they are the same for all.
    pub fn width(&self) -> Option<usize> {
        if self.value.nullable { None } else { self.value.data_type.fixed_width() }
    }
}

/// Other kinds are refused when the operator is opened: this host does not keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    Value,
    /// An aggregate's accumulator.
    Aggregating,
}

/// As checkpoints and people call it.
impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "value",
            Self::Aggregating => "aggregating",
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

impl Descriptor {
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
