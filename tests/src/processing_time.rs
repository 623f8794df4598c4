//! Timers of the machine's clock in a whole job: its tasks are stepped on one thread, and the clock is the test's.

use wasmill::control::environment::HostEnvironment;
use wasmill::dataplane::task::Progress;
use wasmill::model::id::Parallelism;
use wasmill::model::time::{Micros, Timestamp};
use wasmill::plan::load::load;
use wasmill::worker::operators::{Start, sandboxed};
use wasmill::worker::slot::SlotTask;
use wasmill::worker::wiring::wire;

use crate::harness::Folder;
use crate::keyed_job::on_rocksdb;

/// Each file that comes is found at the next half second.
const JOB: &str = r#"
    name = "job"
    parallelism = 2
    [sources.readings]
    connector = "file"
    path = "readings"
    format = "json"
    follow = true
    discover_interval = "500ms"
    [operators.latest]
    inputs = ["readings"]
    key_by = ["key"]
    plugin = "plugins/throttle.wasm"
    [sinks.out]
    inputs = ["latest"]
    connector = "file"
    path = "out"
    format = "json"
"#;

const START: Timestamp = Timestamp(1_000_000_000);

fn after(millis: i64) -> Timestamp {
    START + Micros(millis * 1_000)
}

struct Stepped {
    tasks: Vec<SlotTask>,
    now: Timestamp,
}

impl Stepped {
    fn start(folder: &Folder, job: &str) -> Self {
        let path = folder.path().join("job.toml");
        let plan = load(&path, job, &[], Parallelism::ONE, &mut HostEnvironment).unwrap_or_else(|e| panic!("{e}"));
        let slots = wire(Start { plan: &plan, make: sandboxed, incarnation: None, transactions: None }).unwrap().slots;
        Self { tasks: slots.into_iter().flat_map(|slot| slot.tasks).collect(), now: START }
    }

    /// Steps all tasks until none has anything to do before the returned time.
    fn settle(&mut self) -> Timestamp {
        loop {
            let (mut worked, mut wake_at) = (false, Timestamp::MAX);
            for task in &mut self.tasks {
                match task.step(self.now, 16).unwrap_or_else(|fault| panic!("{fault}")) {
                    Progress::Worked => worked = true,
                    Progress::Waiting(until) => wake_at = wake_at.min(until),
                    Progress::Blocked | Progress::Done => {}
                }
            }
            if !worked {
                return wake_at;
            }
        }
    }

    /// Lets the clock run until `end`, from one time that a task waits for to the next.
    fn run_until(&mut self, end: Timestamp) {
        loop {
            let wake_at = self.settle();
            assert!(wake_at > self.now, "a task that waits does not wait for now");
            if wake_at > end {
                self.now = end;
                return;
            }
            self.now = wake_at;
        }
    }

    fn end(mut self) {
        self.tasks.iter_mut().for_each(|task| task.task().drain());
        self.settle();
        assert!(self.tasks.iter_mut().all(|task| task.step(self.now, 1).unwrap() == Progress::Done));
    }
}

fn row(key: &str, value: i64, at: Timestamp) -> String {
    format!(r#"{{"key":"{key}","value":{value},"at":"{at}"}}"#)
}

#[test]
fn timers_fire_when_the_clock_has_come_to_them() {
    let folder = Folder::new();
    let readings = |name: &str, readings: &[(&str, i64)]| {
        let lines = readings.iter().map(|(key, value)| format!("{{\"key\":\"{key}\",\"value\":{value}}}\n"));
        folder.write(&format!("readings/{name}"), lines.collect::<String>());
    };
    readings("1", &[("a", 1), ("b", 2), ("a", 3), ("c", 4)]);
    let mut job = Stepped::start(&folder, JOB);
    job.run_until(after(200));
    // Within the second of those before: `b` is replaced, `d` waits for a second of its own.
    readings("2", &[("b", 5), ("d", 6)]);
    job.run_until(after(1_200));
    // Behind the second: another begins.
    readings("3", &[("a", 7)]);
    job.run_until(after(2_800));
    // Nobody waits for a timer when the job drains.
    readings("4", &[("a", 8)]);
    job.run_until(after(3_100));
    job.end();
    let mut expected = vec![
        row("a", 3, after(1_000)),
        row("b", 5, after(1_000)),
        row("c", 4, after(1_000)),
        row("d", 6, after(1_500)),
        row("a", 7, after(2_500)),
    ];
    expected.sort();
    assert_eq!(folder.lines("out"), expected);
}

#[test]
fn timers_that_do_not_fit_into_memory_fire_when_the_clock_has_come_to_them() {
    let folder = Folder::new();
    let readings = |name: &str, keys: i64| {
        let lines = (0..keys).map(|key| format!("{{\"key\":\"k{key}\",\"value\":{key}}}\n"));
        folder.write(&format!("readings/{name}"), lines.collect::<String>());
    };
    readings("1", 1_000);
    let mut job = Stepped::start(&folder, &on_rocksdb(JOB));
    job.run_until(after(1_200));
    readings("2", 500);
    job.run_until(after(3_100));
    job.end();
    let rows = |keys: i64, at| (0..keys).map(move |key| row(&format!("k{key}"), key, at));
    let mut expected: Vec<String> = rows(1_000, after(1_000)).chain(rows(500, after(2_500))).collect();
    expected.sort();
    assert_eq!(folder.lines("out"), expected);
}
