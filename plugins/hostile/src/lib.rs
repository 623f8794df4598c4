//! Operators that misbehave, for the host's tests. They implement the contract by hand, because the SDK would not let
//! them lie. Each reads a column `value: s64`, keeps the rows below `at` (its configuration, e.g. `{"at": 5}`) as a
//! filter would, and does what its name says for every row with a value of `at` or more.
use serde::Deserialize;
use std::cell::RefCell;
use wasmill_sdk::bindings::exports::wasmill::operator::{aggregate, plugin, process};
use wasmill_sdk::bindings::wasmill::operator::calls::{
    Batch, Due, GroupState, Output, Rejection, Step, TimerCancellations, TimerSettings,
};
use wasmill_sdk::bindings::wasmill::operator::columns::{Column, Values, Variable};
use wasmill_sdk::bindings::wasmill::operator::descriptors::{
    Clock, Descriptor, Inheritance, InputNeed, Kind, OperatorInfo, OutputPort, StateInfo, StateKind, TimerInfo,
};
use wasmill_sdk::bindings::wasmill::operator::schemas::{DataType, Field, IntegerType, Schema};
use wasmill_sdk::bindings::wasmill::operator::state;

mod lies;

#[derive(Deserialize, Clone)]
struct Config {
    #[serde(default)]
    at: i64,
    /// of 100 rows, how many `reject` refuses
    #[serde(default)]
    percent: u64,
}

/// Name, whether it is keyed, what it does.
const OPERATORS: [(&str, bool, &str); 27] = [
    ("trap", false, "panics"),
    ("loop", false, "never returns"),
    ("exhaust-memory", false, "allocates until it cannot"),
    ("overflow-stack", false, "recurses without end"),
    ("flood", false, "returns 100 MiB of output"),
    ("stall", false, "says that it has dealt with no row"),
    ("overconsume", false, "says that it has dealt with more rows than it got"),
    ("reject", false, "refuses `percent` of 100 rows"),
    ("offsets-decrease", false, "returns text whose offsets go back"),
    ("offsets-beyond", false, "returns text whose offsets point behind its data"),
    ("short-column", false, "returns a column of fewer rows than it says"),
    ("invalid-utf8", false, "returns text that is not UTF-8"),
    ("wrong-layout", false, "returns integers where its schema says text"),
    ("origins-beyond", false, "returns origins that are no input rows"),
    ("port-beyond", false, "returns rows of a port that it does not have"),
    ("group-beyond", true, "sets a timer of a group that there is not"),
    ("timer-beyond", true, "sets a timer that it does not have"),
    ("state-short", true, "returns a state with fewer values than groups"),
    ("state-no-value", true, "returns values of a map"),
    ("state-beyond", true, "reads a state that it does not have"),
    ("state-wrong-kind", true, "appends to a map"),
    ("state-group-beyond", true, "clears a group that there is not"),
    ("state-lengths", true, "puts more keys than groups"),
    ("state-key-type", true, "reads a map by keys of another type"),
    ("state-no-element", true, "appends nothing to a list"),
    ("state-large-value", true, "puts a value of 2 MiB"),
    ("state-in-open", true, "reaches state when it is opened"),
];

thread_local! {
    static OPENED: RefCell<Option<(String, Config)>> = const { RefCell::new(None) };
}

/// The component.
pub struct Hostile;

fn schema(fields: &[(&str, DataType)]) -> Schema {
    let field = |(name, data_type): &(&str, DataType)| Field {
        name: (*name).to_owned(),
        data_type: *data_type,
        nullable: false,
    };
    Schema { fields: fields.iter().map(field).collect() }
}

const S64: DataType = DataType::Integer(IntegerType::S64);

impl plugin::Guest for Hostile {
    fn describe() -> Vec<OperatorInfo> {
        let info = |&(name, keyed, summary): &(&str, bool, &str)| OperatorInfo {
            name: name.to_owned(),
            kind: Kind::Process,
            summary: summary.to_owned(),
            inputs: vec![InputNeed { name: "input".into(), columns: schema(&[("value", S64)]), generic: false }],
            keyed,
            key: if keyed { schema(&[("key", DataType::Text)]) } else { schema(&[]) },
            config_schema: None,
        };
        OPERATORS.iter().map(info).collect()
    }

    fn open(operator: String, config: String, inputs: Vec<Schema>) -> Result<Descriptor, String> {
        let found = OPERATORS.iter().find(|(name, ..)| *name == operator);
        let &(name, keyed, _) = found.ok_or_else(|| format!("no operator `{operator}`"))?;
        let config = if config.is_empty() { "{}" } else { &config };
        let config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        OPENED.set(Some((operator, config)));
        let column = inputs[0].fields.iter().position(|field| field.name == "value").ok_or("no column `value`")?;
        // The liars return a text column, the others nothing of their own.
        let text = lies::returns_text(name);
        let columns = schema(if text { &[("text", DataType::Text)] } else { &[] });
        let value_type = schema(&[("value", S64)]);
        let state = StateInfo {
            name: "state".into(),
            kind: StateKind::Value,
            key_type: None,
            value_type,
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
        if name == "state-in-open" {
            state::clear(1, &[0]);
        }
        let timer = TimerInfo { name: "timer".into(), clock: Clock::EventTime };
        Ok(Descriptor {
            reads: vec![vec![column as u32]],
            reads_times: false,
            outputs: vec![OutputPort { name: "main".into(), columns, inheritance: Inheritance::Extends }],
            states: if keyed { vec![state, map, list] } else { Vec::new() },
            timers: if keyed { vec![timer] } else { Vec::new() },
            counters: Vec::new(),
            histograms: Vec::new(),
        })
    }

    fn migrate(_: String, _: u32, value: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(value)
    }
}

impl process::Guest for Hostile {
    fn on_batch(batch: Batch) -> Step {
        let (name, config) = OPENED.with_borrow(|opened| opened.clone().expect("opened"));
        let Values::S64s(values) = &batch.columns[0].values else { panic!("value is s64") };
        let good: Vec<u32> = (0..batch.rows).filter(|row| values[*row as usize] < config.at).collect();
        let bad = batch.rows - good.len() as u32;
        let mut step = step(batch.rows);
        let text = good.iter().map(|row| values[*row as usize].to_string());
        step.outputs.push(lies::output(good.clone(), lies::returns_text(&name).then(|| text.collect())));
        if name == "reject" {
            lies::reject(&mut step, values, config.percent);
        } else if bad > 0 {
            lies::misbehave(&name, &mut step, &batch);
        }
        step
    }

    fn on_timers(due: Due) -> Step {
        step(due.rows)
    }
}

/// A step that does nothing.
fn step(consumed: u32) -> Step {
    Step {
        consumed,
        outputs: Vec::new(),
        states: Vec::new(),
        timers_set: TimerSettings { groups: Vec::new(), timers: Vec::new(), times: Vec::new() },
        timers_cancelled: TimerCancellations { groups: Vec::new(), timers: Vec::new() },
        rejected: Vec::new(),
    }
}

impl aggregate::Guest for Hostile {
    fn add(_: Column, _: Vec<u32>, _: Vec<i64>, _: Vec<Column>) -> Column {
        panic!("no aggregate")
    }
    fn merge(_: Column, _: Vec<u32>, _: u32) -> Column {
        panic!("no aggregate")
    }
    fn finish(_: Column, _: Vec<i64>, _: Vec<i64>) -> Vec<Column> {
        panic!("no aggregate")
    }
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
mod exports {
    use super::Hostile;
    wasmill_sdk::bindings::export_operators!(Hostile with_types_in wasmill_sdk::bindings);
}
