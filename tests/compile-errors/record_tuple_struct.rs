//! Columns have names.
use wasmill_sdk::prelude::*;

#[derive(Record)]
struct Event(i64);

fn main() {}
