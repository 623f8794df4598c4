//! They lie of a column: its lengths, its offsets, its text, its layout.
use super::{Column, Operator, Output, Step, Values, Variable};

pub const OPERATORS: [Operator; 6] = [
    Operator::new("flood", "returns 100 MiB of output", |step, _, _| {
        emit(step, 1, text(&[0, 100 << 20], &vec![b'x'; 100 << 20]));
    })
    .with_text(),
    Operator::new("offsets-decrease", "returns text whose offsets go back", |step, _, _| {
        emit(step, 2, text(&[0, 3, 1], b"abc"))
    })
    .with_text(),
    Operator::new("offsets-beyond", "returns text whose offsets point behind its data", |step, _, _| {
        emit(step, 2, text(&[0, 1, 9], b"abc"));
    })
    .with_text(),
    Operator::new("short-column", "returns a column of fewer rows than it says", |step, _, _| {
        emit(step, 2, text(&[0, 1], b"a"))
    })
    .with_text(),
    Operator::new("invalid-utf8", "returns text that is not UTF-8", |step, _, _| {
        emit(step, 1, text(&[0, 2], &[0xff, 0xfe]))
    })
    .with_text(),
    Operator::new("wrong-layout", "returns integers where its schema says text", |step, _, _| {
        emit(step, 1, Values::S64s(vec![1]))
    })
    .with_text(),
];

fn text(offsets: &[i32], data: &[u8]) -> Values {
    Values::Variable(Variable { offsets: offsets.to_vec(), data: data.to_vec() })
}

fn emit(step: &mut Step, rows: u32, values: Values) {
    let columns = vec![Column { validity: None, values }];
    step.outputs = vec![Output { port: 0, rows, origins: Some(vec![0; rows as usize]), times: None, columns }];
}
