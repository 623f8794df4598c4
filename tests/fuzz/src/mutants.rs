//! Runs the targets on seeded mutants of good input, on bytes of any kind, and on what once failed (`corpus/`).

use std::fmt;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestRunner};

use crate::Target;

/// The same inputs in every run, so that a failure is of a change and not of luck; `cargo fuzz` looks elsewhere.
const SEED: u64 = 1;

const INPUT_BYTES_MAX: usize = 1_000;

struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, &'static str),
    Remove(Index, Index),
    Repeat(Index, Index),
    Cut(Index),
}

fn edit(tokens: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), select(tokens)).prop_map(|(at, token)| Edit::Insert(at, token)),
        (at(), at()).prop_map(|(a, b)| Edit::Remove(a, b)),
        (at(), at()).prop_map(|(a, b)| Edit::Repeat(a, b)),
        at().prop_map(Edit::Cut),
    ]
}

/// Removals and repetitions are of this many bytes at most, so that much of the input stays good.
const RUN_BYTES_MAX: usize = 24;

fn apply(bytes: &mut Vec<u8>, edit: Edit) {
    let place = |index: Index| index.index(bytes.len() + 1);
    let run = |a: Index, b: Index| {
        let (a, b) = (place(a), place(b));
        a.min(b)..a.max(b).min(a.min(b) + RUN_BYTES_MAX)
    };
    match edit {
        Edit::Set(at, byte) => {
            let at = place(at);
            bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
        }
        Edit::Insert(at, token) => {
            let at = place(at);
            bytes.splice(at..at, token.bytes());
        }
        Edit::Remove(a, b) => drop(bytes.drain(run(a, b))),
        Edit::Repeat(a, b) => bytes.extend_from_within(run(a, b)),
        Edit::Cut(at) => bytes.truncate(place(at)),
    }
}

fn inputs(target: &Target) -> impl Strategy<Value = Input> {
    let any_bytes = prop::collection::vec(any::<u8>(), 0..INPUT_BYTES_MAX);
    let mut seeds = (target.seeds)();
    seeds.push(Vec::new());
    let mutant = (select(seeds), prop::collection::vec(edit(target.tokens), 0..8)).prop_map(|(mut bytes, edits)| {
        edits.into_iter().for_each(|edit| apply(&mut bytes, edit));
        bytes
    });
    prop_oneof![1 => any_bytes, 3 => mutant].prop_map(Input)
}

fn survives(target: &Target) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    for file in std::fs::read_dir(&corpus).into_iter().flatten() {
        (target.run)(&std::fs::read(file.unwrap().path()).unwrap());
    }
    let config = ProptestConfig {
        cases: target.cases,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&inputs(target), |Input(bytes)| {
        (target.run)(&bytes);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{}: {error}", target.name));
}

macro_rules! survive {
    ($($test:ident: $target:ident,)*) => {
        $(#[test]
        fn $test() {
            survives(&crate::$target);
        })*
    };
}

survive! {
    answer: ANSWER,
    chunk: CHUNK,
    component: COMPONENT,
    events: EVENTS,
    job_file: JOB_FILE,
    key: KEY,
    manifest: MANIFEST,
    type_name: TYPE_NAME,
}
