//! What the host is told of them.
use serde::Deserialize;
use wasmill_sdk::bindings::wasmill::operator::calls::{Batch, Step};
use wasmill_sdk::bindings::wasmill::operator::columns::{Column, Values, Variable};
use wasmill_sdk::bindings::wasmill::operator::descriptors::{
    Clock, Descriptor, Inheritance, InputNeed, Kind, OperatorInfo, OutputPort, StateInfo, StateKind, TimerInfo,
};
use wasmill_sdk::bindings::wasmill::operator::schemas::{DataType, Field, IntegerType, Schema};

#[derive(Deserialize, Clone)]
pub struct Config {
    #[serde(default)]
    pub at: i64,
    /// of 100 rows, how many `reject` refuses
    #[serde(default)]
    pub percent: u64,
}

impl Config {
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(if text.is_empty() { "{}" } else { text }).map_err(|error| error.to_string())
    }
}

pub struct Operator {
    pub name: &'static str,
    pub summary: &'static str,
    /// It has a key, a value, a map, a list and a timer.
    pub keyed: bool,
    /// It has a second input, and broadcast state.
    pub broadcast: bool,
    pub own: Own,
    /// Makes of a step that keeps the good rows what the operator is there for.
    pub act: fn(&mut Step, &Batch, &Config),
}

/// The column that its output has beside those of its input.
#[derive(Clone, Copy)]
pub enum Own {
    Nothing,
    Text,
    /// Lists of fixed bytes.
    Lists,
}

impl Own {
    fn schema(self) -> Schema {
        schema(match self {
            Self::Nothing => &[],
            Self::Text => &[("text", DataType::Text)],
            Self::Lists => &[("lists", DataType::Sequence), ("item", DataType::FixedBytes(65_536))],
        })
    }

    /// For rows with these values.
    pub fn columns(self, values: &[i64]) -> Vec<Column> {
        let column = |values| Column { validity: None, values };
        match self {
            Self::Nothing => Vec::new(),
            Self::Text => {
                let (mut offsets, mut data) = (vec![0], Vec::new());
                for value in values {
                    data.extend(value.to_string().into_bytes());
                    offsets.push(data.len() as i32);
                }
                vec![column(Values::Variable(Variable { offsets, data }))]
            }
            Self::Lists => {
                vec![column(Values::Sequences(vec![0; values.len() + 1])), column(Values::Fixed(Vec::new()))]
            }
        }
    }
}

fn schema(fields: &[(&str, DataType)]) -> Schema {
    let field = |(name, data_type): &(&str, DataType)| Field {
        name: (*name).to_owned(),
        data_type: *data_type,
        nullable: false,
    };
    Schema { fields: fields.iter().map(field).collect() }
}

const S64: DataType = DataType::Integer(IntegerType::S64);

impl Operator {
    pub const fn new(name: &'static str, summary: &'static str, act: fn(&mut Step, &Batch, &Config)) -> Self {
        Self { name, summary, keyed: false, broadcast: false, own: Own::Nothing, act }
    }

    pub const fn keyed(self) -> Self {
        Self { keyed: true, ..self }
    }

    pub const fn broadcast(self) -> Self {
        Self { broadcast: true, ..self }
    }

    pub const fn with_text(self) -> Self {
        Self { own: Own::Text, ..self }
    }

    pub const fn with_lists(self) -> Self {
        Self { own: Own::Lists, ..self }
    }

    pub fn info(&self) -> OperatorInfo {
        let input = |name: &str| InputNeed { name: name.into(), columns: schema(&[("value", S64)]), generic: false };
        let names: &[&str] = if self.broadcast { &["input", "broadcast"] } else { &["input"] };
        OperatorInfo {
            name: self.name.to_owned(),
            kind: Kind::Process,
            summary: self.summary.to_owned(),
            inputs: names.iter().map(|name| input(name)).collect(),
            keyed: self.keyed,
            key: if self.keyed { schema(&[("key", DataType::Text)]) } else { schema(&[]) },
            config_schema: None,
        }
    }

    pub fn descriptor(&self, inputs: &[Schema]) -> Result<Descriptor, String> {
        let value = |input: &Schema| input.fields.iter().position(|field| field.name == "value");
        let reads = inputs.iter().map(|input| Ok(vec![value(input).ok_or("no column `value`")? as u32]));
        let reads = reads.collect::<Result<_, String>>()?;
        let columns = self.own.schema();
        let state = StateInfo {
            name: "state".into(),
            kind: StateKind::Value,
            key_type: None,
            value_type: schema(&[("value", S64)]),
            defaults: vec![0; 8],
            version: 0,
            time_to_live: None,
        };
        let map = StateInfo {
            name: "map".into(),
            kind: StateKind::Map,
            key_type: Some(schema(&[("key", S64)])),
            value_type: schema(&[("value", DataType::Bytes)]),
            defaults: vec![0; 4],
            ..state.clone()
        };
        let list = StateInfo { name: "list".into(), kind: StateKind::Sequence, ..state.clone() };
        let key_type = map.key_type.clone();
        let kept = StateInfo { name: "kept".into(), kind: StateKind::Broadcast, key_type, ..state.clone() };
        let timer = TimerInfo { name: "timer".into(), clock: Clock::EventTime };
        Ok(Descriptor {
            reads,
            reads_times: false,
            outputs: vec![OutputPort { name: "main".into(), columns, inheritance: Inheritance::Extends }],
            states: match self {
                Self { keyed: true, .. } => vec![state, map, list],
                Self { broadcast: true, .. } => vec![kept],
                _ => Vec::new(),
            },
            timers: if self.keyed { vec![timer] } else { Vec::new() },
            counters: Vec::new(),
            histograms: Vec::new(),
        })
    }
}
