//! A row has all its columns.
use wasmill_sdk::prelude::*;

#[derive(Record)]
enum Event {
    Opened { at: i64 },
    Closed { at: i64 },
}

fn main() {}
