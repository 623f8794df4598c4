//! What the host is told of them.
use serde::Deserialize;
use wasmill_sdk::bindings::wasmill::operator::calls::{Batch, Step};
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
    /// It has a key, a state and a timer.
    pub keyed: bool,
    /// Its output has a text column of its own.
    pub text: bool,
    /// Makes of a step that keeps the good rows what the operator is there for.
    pub act: fn(&mut Step, &Batch, &Config),
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
        Self { name, summary, keyed: false, text: false, act }
    }

    pub const fn keyed(self) -> Self {
        Self { keyed: true, ..self }
    }

    pub const fn with_text(self) -> Self {
        Self { text: true, ..self }
    }

    pub fn info(&self) -> OperatorInfo {
        OperatorInfo {
            name: self.name.to_owned(),
            kind: Kind::Process,
            summary: self.summary.to_owned(),
            inputs: vec![InputNeed { name: "input".into(), columns: schema(&[("value", S64)]), generic: false }],
            keyed: self.keyed,
            key: if self.keyed { schema(&[("key", DataType::Text)]) } else { schema(&[]) },
            config_schema: None,
        }
    }

    pub fn descriptor(&self, input: &Schema) -> Result<Descriptor, String> {
        let column = input.fields.iter().position(|field| field.name == "value").ok_or("no column `value`")?;
        let columns = schema(if self.text { &[("text", DataType::Text)] } else { &[] });
        let state = StateInfo {
            name: "state".into(),
            kind: StateKind::Value,
            key_type: None,
            value_type: schema(&[("value", S64)]),
            defaults: vec![0; 8],
            version: 0,
            time_to_live: None,
        };
        let timer = TimerInfo { name: "timer".into(), clock: Clock::EventTime };
        Ok(Descriptor {
            reads: vec![vec![column as u32]],
            reads_times: false,
            outputs: vec![OutputPort { name: "main".into(), columns, inheritance: Inheritance::Extends }],
            states: if self.keyed { vec![state] } else { Vec::new() },
            timers: if self.keyed { vec![timer] } else { Vec::new() },
            counters: Vec::new(),
            histograms: Vec::new(),
        })
    }
}
