//! The cases.

mod boundary;
mod clicks;
mod count;
mod durability;
mod kafka;
mod pass;
mod tumble;

use super::case::Case;

/// All of them, in the order that they are run in. `events` replaces how many events or keys a case would have.
pub fn all(events: Option<u64>) -> Vec<Case> {
    let mut cases = boundary::cases();
    cases.extend(clicks::cases());
    cases.extend(count::cases(events));
    cases.extend(pass::cases(events));
    cases.extend(tumble::cases(events));
    cases.extend(durability::cases(events));
    cases.extend(kafka::cases(events));
    cases
}

/// Names in jobs and in Flink's programs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Backend {
    name: &'static str,
    flink: &'static str,
}

const MEMORY: Backend = Backend { name: "memory", flink: "heap" };
const ROCKSDB: Backend = Backend { name: "rocksdb", flink: "rocks" };

/// Such as `1k` and `10m`.
fn short(number: u64) -> String {
    match number {
        millions if millions % 1_000_000 == 0 => format!("{}m", millions / 1_000_000),
        thousands if thousands % 1_000 == 0 => format!("{}k", thousands / 1_000),
        number => number.to_string(),
    }
}
