//! State outlives every batch.
use wasmill_sdk::prelude::*;

#[derive(Record, Default)]
struct Last<'a> {
    page: &'a str,
}

fn open(cx: &mut Open<'_>) -> Value<Last<'static>> {
    cx.value("last")
}

fn main() {}
