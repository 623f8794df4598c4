//! They lie of groups: their timers and their state.
use super::{Column, Operator, TimerCancellations, TimerSettings, Values};
use wasmill_sdk::bindings::wasmill::operator::calls::GroupState;

pub const OPERATORS: [Operator; 6] = [
    Operator::new("group-beyond", "sets a timer of a group that there is not", |step, batch, _| {
        step.timers_set = timer(batch.groups, 0);
    })
    .keyed(),
    Operator::new("timer-beyond", "sets a timer that it does not have", |step, _, _| step.timers_set = timer(0, 9))
        .keyed(),
    Operator::new("state-short", "returns a state with fewer values than groups", |step, batch, _| {
        let values = Values::Fixed(vec![0; 8 * (batch.groups as usize - 1)]);
        step.states.push(GroupState { state: 0, values: Column { validity: None, values } });
    })
    .keyed(),
    Operator::new("timer-twice", "sets a timer, and cancels it", |step, _, _| {
        step.timers_set = timer(0, 0);
        step.timers_cancelled = TimerCancellations { groups: vec![0], timers: vec![0] };
    })
    .keyed(),
    Operator::new("state-twice", "returns a state twice", |step, batch, _| {
        let values = || Values::Fixed(vec![0; 8 * batch.groups as usize]);
        step.states = [values(), values()]
            .map(|values| GroupState { state: 0, values: Column { validity: None, values } })
            .into();
    })
    .keyed(),
    Operator::new(TIMER_EMITS, "sets a timer that emits a row which inherits columns", |step, batch, _| {
        let last = batch.groups - 1;
        step.timers_set = timer(last, 0);
    })
    .keyed(),
];

const TIMER_EMITS: &str = "timer-emits";

pub fn emits(operator: &Operator) -> bool {
    operator.name == TIMER_EMITS
}

fn timer(group: u32, timer: u32) -> TimerSettings {
    TimerSettings { groups: vec![group], timers: vec![timer], times: vec![0] }
}
