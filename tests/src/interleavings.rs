//! The data plane does not care when a slot gets to run: a job is stepped task by task on one thread, in an order that
//! a seed chooses, with a clock of its own, and its output is always the same.

use std::num::Wrapping;

use wasmill::control::environment::HostEnvironment;
use wasmill::dataplane::task::Progress;
use wasmill::model::id::Parallelism;
use wasmill::model::time::Timestamp;
use wasmill::plan::load::load;
use wasmill::worker::operators::{Start, sandboxed};
use wasmill::worker::slot::SlotTask;
use wasmill::worker::wiring::wire;

use crate::harness::Folder;
use crate::keyed_job::{counted, json_files, keyed_events, out_of_order};

const SEEDS: u64 = 40;

/// A keyed operator behind a hash exchange, a window behind another, and channels so small that they are often full.
/// What it gives does not depend on the order of events of different splits, which nothing promises.
const JOB: &str = concat!(
    r#"
    name = "job"
    parallelism = 3
    [limits]
    batch_rows_max = 50
    channel_bytes_max = "20KiB"
"#,
    keyed_events!(),
    r#"
    keys = 20
    count = 6000
    per_milli = 1
    splits = 4
"#,
    out_of_order!(),
    counted!(),
    r#"
    [operators.windows]
    inputs = ["count"]
    key_by = ["key"]
    window = { sliding = "2s", slide = "500ms" }
    aggregate = { n = "count()", most = "max(value)", sum = "sum(value)" }
"#,
    json_files!("out", r#"["windows"]"#),
    json_files!("late", r#"["windows.late"]"#)
);

/// splitmix64
struct Random(Wrapping<u64>);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 += 0x9E37_79B9_7F4A_7C15;
        let z = (self.0 ^ (self.0 >> 30)) * Wrapping(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)) * Wrapping(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)).0 % n as u64) as usize
    }
}

fn run(folder: &Folder, seed: u64) -> Vec<String> {
    folder.remove("out");
    folder.remove("late");
    let path = folder.path().join("job.toml");
    let plan =
        load(&path, JOB, &[], Parallelism::ONE, &mut HostEnvironment).unwrap_or_else(|errors| panic!("{errors}"));
    let mut tasks: Vec<SlotTask> = wire(Start { plan: &plan, make: sandboxed, incarnation: None, transactions: None })
        .unwrap()
        .slots
        .into_iter()
        .flat_map(|slot| slot.tasks)
        .collect();
    let mut random = Random(Wrapping(seed));
    let mut now = 1_000_000_000;
    // A task that is favoured for a while lets the others fall behind.
    let mut favourite = 0;
    while !tasks.is_empty() {
        if random.below(50) == 0 {
            favourite = random.below(tasks.len());
        }
        let chosen = if random.below(3) == 0 { random.below(tasks.len()) } else { favourite % tasks.len() };
        now += random.below(5_000) as i64;
        let budget = 1 + random.below(3);
        match tasks[chosen].step(Timestamp(now), budget).unwrap_or_else(|fault| panic!("seed {seed}: {fault}")) {
            Progress::Done => drop(tasks.swap_remove(chosen)),
            Progress::Blocked | Progress::Waiting(_) => favourite = random.below(tasks.len()),
            Progress::Worked => {}
        }
    }
    assert_eq!(folder.lines("late"), [""; 0], "seed {seed}");
    folder.lines("out")
}

#[test]
fn any_interleaving_gives_the_same_rows() {
    let folder = Folder::new();
    let expected = run(&folder, 0);
    assert!(expected.len() > 200, "{}", expected.len());
    for seed in 1..SEEDS {
        let rows = run(&folder, seed);
        assert!(rows == expected, "seed {seed}: {} rows, not {}", rows.len(), expected.len());
    }
}
