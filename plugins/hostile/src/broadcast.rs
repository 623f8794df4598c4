//! They write broadcast state in calls for events, which only broadcast rows may: state 0, a map from s64 to s64. Of each
//! broadcast row they keep the value, as they should.
use super::state::numbers;
use super::{Batch, Column, Operator, Values, values};
use wasmill_sdk::bindings::wasmill::operator::state;

pub const OPERATORS: [Operator; 4] = [
    Operator::new("broadcast-put", "gives an entry of broadcast state a value", |_, _, _| put(7, seven())).broadcast(),
    Operator::new("broadcast-remove", "removes an entry of broadcast state", |_, _, _| put(1, Values::Nulls))
        .broadcast(),
    Operator::new("broadcast-clear", "removes all entries of broadcast state", |_, _, _| state::clear(0, &[0]))
        .broadcast(),
    Operator::new("broadcast-append", "appends to broadcast state, as if it were a list", |_, _, _| {
        state::append(0, &[0], &Column { validity: None, values: seven() });
    })
    .broadcast(),
];

/// Puts the values of broadcast rows.
pub fn keep(batch: &Batch) {
    values(batch).iter().for_each(|value| put(*value, seven()));
}

fn put(key: i64, value: Values) {
    state::put(0, &[0], &[numbers(&[key])], &Column { validity: None, values: value });
}

fn seven() -> Values {
    Values::Fixed(7i64.to_le_bytes().to_vec())
}
