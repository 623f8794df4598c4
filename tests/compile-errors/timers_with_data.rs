//! A timer is a name and a time.
use wasmill_sdk::prelude::*;

#[derive(Timers)]
enum Wake {
    Quiet { since: i64 },
}

fn main() {}
