//! They lie of a column: its lengths, its offsets, its text, its layout; or say little that would become much.
use super::{Column, Dictionary, Operator, Output, Step, Values, Variable};

pub const OPERATORS: [Operator; 9] = [
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
    Operator::new("dictionary-of-nulls", "returns a dictionary of as many nulls as there are numbers", |step, _, _| {
        let dictionary = Values::Dictionary(Dictionary { indices: vec![0], size: u32::MAX });
        emit_all(step, 1, vec![dictionary, Values::Nulls]);
    })
    .with_text(),
    Operator::new("dictionary-of-long", "returns a long text, and many rows that are it", |step, _, _| {
        let dictionary = Values::Dictionary(Dictionary { indices: vec![0; 1_000], size: 1 });
        emit_all(step, 1_000, vec![dictionary, text(&[0, 10_000], &[b'x'; 10_000])]);
    })
    .with_text(),
    Operator::new("list-of-nulls", "returns a list of as many nulls as an offset can say", |step, _, _| {
        emit_all(step, 1, vec![Values::Sequences(vec![0, i32::MAX]), Values::Nulls]);
    })
    .with_lists(),
];

fn text(offsets: &[i32], data: &[u8]) -> Values {
    Values::Variable(Variable { offsets: offsets.to_vec(), data: data.to_vec() })
}

fn emit(step: &mut Step, rows: u32, values: Values) {
    emit_all(step, rows, vec![values]);
}

fn emit_all(step: &mut Step, rows: u32, columns: Vec<Values>) {
    let columns = columns.into_iter().map(|values| Column { validity: None, values }).collect();
    step.outputs = vec![Output { port: 0, rows, origins: Some(vec![0; rows as usize]), times: None, columns }];
}
