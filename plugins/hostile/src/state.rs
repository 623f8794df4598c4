//! They reach state wrongly. State 0 is a value, 1 a map from s64 to bytes, 2 a list of s64.
use super::{Column, Operator, Values, Variable};
use wasmill_sdk::bindings::wasmill::operator::calls::GroupState;
use wasmill_sdk::bindings::wasmill::operator::state;

pub const OPERATORS: [Operator; 9] = [
    Operator::new("state-no-value", "returns values of a map", |step, _, _| {
        step.states.push(GroupState { state: 1, values: column(Values::Nulls) });
    })
    .keyed(),
    Operator::new("state-beyond", "reads a state that it does not have", |_, _, _| {
        drop(state::get(9, &[0], &[numbers(&[7])]));
    })
    .keyed(),
    Operator::new("state-wrong-kind", "appends to a map", |_, _, _| state::append(1, &[0], &bytes(3))).keyed(),
    Operator::new("state-group-beyond", "clears a group that there is not", |_, batch, _| {
        state::clear(2, &[batch.groups]);
    })
    .keyed(),
    Operator::new("state-lengths", "puts more keys than groups", |_, _, _| {
        state::put(1, &[0], &[numbers(&[1, 2])], &bytes(3));
    })
    .keyed(),
    Operator::new("state-key-type", "reads a map by keys of another type", |_, _, _| {
        drop(state::get(1, &[0], &[bytes(8)]));
    })
    .keyed(),
    Operator::new("state-no-element", "appends nothing to a list", |_, _, _| {
        state::append(2, &[0], &column(Values::Nulls));
    })
    .keyed(),
    Operator::new("state-large-value", "puts a value of 2 MiB", |_, _, _| {
        state::put(1, &[0], &[numbers(&[7])], &bytes(2 << 20));
    })
    .keyed(),
    Operator::new(IN_OPEN, "reaches state when it is opened", |_, _, _| {}).keyed(),
];

const IN_OPEN: &str = "state-in-open";

pub fn reach_in_open(operator: &Operator) {
    if operator.name == IN_OPEN {
        state::clear(1, &[0]);
    }
}

fn column(values: Values) -> Column {
    Column { validity: None, values }
}

pub fn numbers(numbers: &[i64]) -> Column {
    column(Values::S64s(numbers.to_vec()))
}

fn bytes(len: usize) -> Column {
    column(Values::Variable(Variable { offsets: vec![0, len as i32], data: vec![7; len] }))
}
