//! A struct in a record is a record too.
use wasmill_sdk::prelude::*;

struct Address {
    city: String,
}

#[derive(Record)]
struct Customer {
    name: String,
    address: Address,
}

fn main() {}
