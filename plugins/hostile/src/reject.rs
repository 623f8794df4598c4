//! It refuses rows, as it may.
use super::{Operator, output, values};
use wasmill_sdk::bindings::wasmill::operator::calls::Rejection;

pub const OPERATORS: [Operator; 1] =
    [Operator::new("reject", "refuses `percent` of 100 rows", |step, batch, config| {
        let bad = |value: i64| value.unsigned_abs() % 100 < config.percent;
        let (refused, kept): (Vec<u32>, Vec<u32>) = (0..batch.rows).partition(|row| bad(values(batch)[*row as usize]));
        step.outputs = vec![output(kept, Vec::new())];
        let reason = |row: u32| format!("refused: {}", values(batch)[row as usize]);
        step.rejected = refused.into_iter().map(|row| Rejection { row, reason: reason(row) }).collect();
    })];
