//! They do not come back.
use super::Operator;

pub const OPERATORS: [Operator; 4] = [
    Operator::new("trap", "panics", |_, _, _| panic!("as configured")),
    Operator::new("loop", "never returns", |_, _, _| {
        loop {
            std::hint::black_box(());
        }
    }),
    Operator::new("exhaust-memory", "allocates until it cannot", |_, _, _| {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![1u8; 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }),
    Operator::new("overflow-stack", "recurses without end", |_, _, _| {
        std::hint::black_box(recurse(std::hint::black_box(1)));
    }),
];

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}
