//! They lie of rows and ports.
use super::{Operator, Output, output};

pub const OPERATORS: [Operator; 7] = [
    Operator::new("stall", "says that it has dealt with no row", |step, _, _| step.consumed = 0),
    Operator::new("overconsume", "says that it has dealt with more rows than it got", |step, batch, _| {
        step.consumed = batch.rows + 1;
    }),
    Operator::new("origins-beyond", "returns origins that are no input rows", |step, batch, _| {
        step.outputs = vec![output(vec![batch.rows], Vec::new())];
    }),
    Operator::new("nibble", "deals with one row a call, as it may", |step, _, _| {
        step.consumed = 1;
        step.outputs = vec![output(vec![0], Vec::new())];
    }),
    Operator::new("echo", "returns its first row again and again", |step, _, _| {
        step.outputs = vec![output(vec![0; 100_000], Vec::new())];
    }),
    Operator::new("port-twice", "returns rows of a port in two pieces", |step, _, _| {
        step.outputs.push(output(vec![0], Vec::new()));
    }),
    Operator::new("port-beyond", "returns rows of a port that it does not have", |step, _, _| {
        step.outputs.push(Output { port: 7, ..output(vec![0], Vec::new()) });
    }),
];
