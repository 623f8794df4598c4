//! Operators that hurt, for tests of the host, written on the contract itself: the SDK would not let them lie. Each
//! reads a column `value: s64`, keeps the rows below `at` (its configuration, e.g. `{"at": 5}`) as a filter would, and,
//! where there are others, does what its name says.
use std::cell::RefCell;
use wasmill_sdk::bindings::exports::wasmill::operator::{aggregate, plugin, process};
use wasmill_sdk::bindings::wasmill::operator::calls::{Batch, Due, Output, Step, TimerCancellations, TimerSettings};
use wasmill_sdk::bindings::wasmill::operator::columns::{Column, Dictionary, Values, Variable};
use wasmill_sdk::bindings::wasmill::operator::descriptors::{Descriptor, OperatorInfo};
use wasmill_sdk::bindings::wasmill::operator::schemas::Schema;

mod broadcast;
mod columns;
mod describe;
mod exhaust;
mod keyed;
mod reject;
mod rows;
mod state;

use describe::{Config, Operator};

const OPERATORS: [&[Operator]; 7] = [
    &exhaust::OPERATORS,
    &rows::OPERATORS,
    &columns::OPERATORS,
    &keyed::OPERATORS,
    &state::OPERATORS,
    &broadcast::OPERATORS,
    &reject::OPERATORS,
];

thread_local! {
    static OPENED: RefCell<Option<(&'static Operator, Config)>> = const { RefCell::new(None) };
}

/// The component.
pub struct Hostile;

impl plugin::Guest for Hostile {
    fn describe() -> Vec<OperatorInfo> {
        OPERATORS.iter().flat_map(|operators| *operators).map(Operator::info).collect()
    }

    fn open(operator: String, config: String, inputs: Vec<Schema>) -> Result<Descriptor, String> {
        let found = OPERATORS.iter().flat_map(|operators| *operators).find(|known| known.name == operator);
        let found = found.ok_or_else(|| format!("no operator `{operator}`"))?;
        OPENED.set(Some((found, Config::parse(&config)?)));
        state::reach_in_open(found);
        found.descriptor(&inputs)
    }

    fn migrate(_: String, _: u32, value: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(value)
    }
}

impl process::Guest for Hostile {
    fn on_batch(batch: Batch) -> Step {
        if batch.input > 0 {
            broadcast::keep(&batch);
            return step(batch.rows);
        }
        let (operator, config) = OPENED.with_borrow(|opened| opened.clone().expect("opened"));
        let values = values(&batch);
        let good: Vec<u32> = (0..batch.rows).filter(|row| values[*row as usize] < config.at).collect();
        let bad = batch.rows - good.len() as u32;
        let mut step = step(batch.rows);
        let kept: Vec<i64> = good.iter().map(|row| values[*row as usize]).collect();
        step.outputs.push(output(good, operator.own.columns(&kept)));
        if bad > 0 {
            (operator.act)(&mut step, &batch, &config);
        }
        step
    }

    fn on_timers(due: Due) -> Step {
        let emits = OPENED.with_borrow(|opened| opened.as_ref().is_some_and(|(operator, _)| keyed::emits(operator)));
        let mut step = step(due.rows);
        if emits {
            step.outputs = vec![output(vec![0], Vec::new())];
        }
        step
    }
}

fn values(batch: &Batch) -> &[i64] {
    let Values::S64s(values) = &batch.columns[0].values else { panic!("value is s64") };
    values
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

/// The output of rows that are kept, with the port's own columns.
fn output(origins: Vec<u32>, columns: Vec<Column>) -> Output {
    Output { port: 0, rows: origins.len() as u32, origins: Some(origins), times: None, columns }
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
