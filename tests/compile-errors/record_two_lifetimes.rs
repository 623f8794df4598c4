//! There is one batch to borrow from.
use wasmill_sdk::prelude::*;

#[derive(Record)]
struct Event<'a, 'b> {
    user: &'a str,
    page: &'b str,
}

fn main() {}
