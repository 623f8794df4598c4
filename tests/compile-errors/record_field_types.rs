//! Types that a column cannot hold.
use std::collections::HashMap;
use wasmill_sdk::prelude::*;

#[derive(Record)]
struct Event<'a> {
    count: usize,
    tags: HashMap<String, String>,
    pair: (i64, i64),
    parts: Vec<&'a mut str>,
    numbers: &'a [i64],
    nothing: Option<Option<i64>>,
    reason: &'static str,
}

fn main() {}
