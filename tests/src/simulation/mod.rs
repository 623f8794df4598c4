//! Deterministic simulation: hosts run a job, with its real tasks, coordinator, files of state and log of decisions, on
//! one thread and a clock of the simulation's own. A seed chooses who goes on, when writes happen, what the store does
//! wrong, when a host dies or sleeps on beside its successor, when somebody asks for a savepoint, and how many slots the
//! next one has. Whatever happens, the output is that of a run in which nothing does.

mod faulty_store;
mod host;

use std::hash::Hasher;
use std::sync::{Arc, OnceLock};

use wasmill::control::checkpoint::claim::StartFrom;
use wasmill::control::checkpoint::coordinator::Then;
use wasmill::control::checkpoint::savepoint::Ordered;
use wasmill::control::environment::HostEnvironment;
use wasmill::dataplane::task::Progress;
use wasmill::model::fault::{Fault, FaultKind};
use wasmill::model::id::Parallelism;
use wasmill::model::time::Timestamp;
use wasmill::plan::graph::Plan;
use wasmill::plan::load::load;
use wasmill::storage::manifest::Manifest;
use wasmill::store::Store;

use crate::harness::Folder;
use crate::keyed_job::{counted, json_files, met_again, totals};
use faulty_store::FaultyStore;
use host::Host;

/// Seeds of a run of the tests; `WASMILL_SEED=n` runs one, `WASMILL_SEEDS=n` so many.
const SEEDS: u64 = 2_000;

const PARALLELISM_MAX: usize = 4;

const SAVEPOINTS_MAX: usize = 20;

/// After so many steps a job that has not ended never will.
const STEPS_MAX: usize = 400_000;

/// State, timers by windows, a keyed exchange before each, channels that are often full. Streams that part and meet again: with
/// several slots, a forward edge from `count` and one from `events` are channels.
const JOB: &str = concat!(
    r#"
    name = "job"
    [checkpoints]
    interval = "60ms"
    timeout = "5s"
    tolerated_failures = 3
    retained = 2
    [limits]
    batch_rows_max = 16
    channel_bytes_max = "8KiB"
"#,
    counted!(),
    r#"
    [operators.windows]
    inputs = ["count"]
    key_by = ["key"]
    window = { sliding = "200ms", slide = "100ms" }
    aggregate = { n = "count()", most = "max(value)" }
"#,
    totals!(),
    met_again!(),
    json_files!("out", r#"["windows"]"#),
    json_files!("sums", r#"["totals"]"#),
    json_files!("both", r#"["events", "firsts"]"#),
    json_files!("followed", r#"["steps"]"#)
);
const SINKS: [&str; 4] = ["out", "sums", "both", "followed"];

const GENERATED: &str = r#"
    connector = "generator"
    events = "keyed"
    keys = 12
    count = 900
    per_milli = 1
    splits = 4
    out_of_orderness = "40ms"
"#;

/// The same events, in a file of a dozen splits.
const READ: &str = r#"
    connector = "file"
    path = "events.jsonl"
    format = "json"
    split_bytes = "25KiB"
    schema = { key = "text", timestamp = "i64", value = "i64", payload = "bytes" }
"#;

const EVENT_TIME: &str = r#"
    event_time = { column = "timestamp", unit = "ms" }
    watermark = { out_of_orderness = "40ms" }
"#;

fn events_as_lines() -> &'static str {
    static LINES: OnceLock<String> = OnceLock::new();
    let generate = ["generate", "keyed", "--keys=12", "--count=900", "--per-milli=1", "--out-of-orderness=40ms"];
    LINES.get_or_init(|| Folder::in_memory().call(&generate).stdout)
}

/// The finaliser of splitmix64.
fn random(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Of what a step came to, for the trace.
fn code(progress: Progress) -> u64 {
    match progress {
        Progress::Worked => 0,
        Progress::Waiting(until) => until.0.cast_unsigned(),
        Progress::Blocked => 1,
        Progress::Done => 2,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (random(self.0) % n as u64) as usize
    }

    /// Once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

struct World {
    folder: Folder,
    random: Random,
    /// Of this seed: how often a host dies, in steps.
    deaths: usize,
    /// It dies no more often than this.
    deaths_left: usize,
    /// Of this seed: how often somebody asks for a savepoint, in steps.
    savepoints: usize,
    /// Those that were asked for; so many at most.
    ordered: Vec<Ordered>,
    /// `unaligned_after` of the job.
    unaligned_after: &'static str,
    /// `sources.events` of the job.
    source: &'static str,
    /// Where the job starts.
    from: StartFrom,
    /// The folder that its sinks' folders are in.
    outputs: &'static str,
    /// Events that barriers have overtaken.
    overtaken: u64,
    store: FaultyStore,
    now: i64,
    trace: std::hash::DefaultHasher,
}

/// How a host's time ended.
enum Ending {
    Over,
    Failed(Fault),
    Died,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let store = FaultyStore::new(random.below(usize::MAX) as u64);
        let deaths = [100, 400, 1_500, usize::MAX][random.below(4)];
        let savepoints = [100, 400, 1_500, usize::MAX][random.below(4)];
        let unaligned_after = ["1h", "20ms", "0s"][random.below(3)];
        let source = [GENERATED, READ][random.below(2)];
        let folder = Folder::in_memory();
        folder.write("events.jsonl", events_as_lines());
        Self {
            folder,
            random,
            deaths,
            deaths_left: 12,
            savepoints,
            ordered: Vec::new(),
            unaligned_after,
            source,
            from: StartFrom::Latest,
            outputs: ".",
            overtaken: 0,
            store,
            now: 1_000_000_000,
            trace: Default::default(),
        }
    }

    fn note(&mut self, what: u64) {
        self.trace.write_u64(what);
    }

    fn plan(&self, parallelism: usize) -> Arc<Plan> {
        let unaligned_after = format!("checkpoints.unaligned_after='{}'", self.unaligned_after);
        let outputs = SINKS.map(|sink| format!("sinks.{sink}.path='{}/{sink}'", self.outputs));
        let set = [vec![format!("parallelism={parallelism}"), unaligned_after], outputs.into()].concat();
        let path = self.folder.path().join("job.toml");
        let job = format!("{JOB}[sources.events]{}{EVENT_TIME}", self.source);
        let plan = load(&path, &job, &set, Parallelism::ONE, &mut HostEnvironment);
        Arc::new(plan.unwrap_or_else(|errors| panic!("{errors}")))
    }

    /// The job's, in the store.
    fn place(&self) -> Store {
        Store::of(Arc::new(self.store.clone()), "simulated").unwrap().under("job")
    }

    fn lines(&self, sink: &str) -> Vec<String> {
        self.folder.lines(&format!("{}/{sink}", self.outputs))
    }

    /// Runs the job to its end, whatever happens on the way; returns its rows.
    fn run(&mut self, faults_per_mille: u64) -> Vec<String> {
        let store = self.place();
        // Dead hosts that do not know it.
        let mut asleep: Vec<Host> = Vec::new();
        let mut steps = 0;
        loop {
            self.store.fail(if self.deaths_left > 0 { faults_per_mille } else { 0 });
            let parallelism = 1 + self.random.below(PARALLELISM_MAX);
            self.note(parallelism as u64);
            let plan = self.plan(parallelism);
            let mut host = match Host::start(&plan, &store, &self.from, Timestamp(self.now)) {
                Ok(host) => host,
                Err(fault) => {
                    self.expect_simulated(&fault);
                    continue;
                }
            };
            let ending = self.live(&mut host, &mut asleep, &mut steps);
            self.overtaken += host.overtaken;
            match ending {
                Ending::Over if self.is_finished(&store) => {
                    return SINKS.map(|sink| self.lines(sink)).concat();
                }
                // It was stopped; the same command goes on.
                Ending::Over => {}
                Ending::Failed(fault) => self.expect_simulated(&fault),
                Ending::Died if self.random.once_in(2) => asleep.push(host),
                Ending::Died => {}
            }
        }
    }

    /// A host goes on until it ends, fails or dies; those that are asleep wake now and then.
    fn live(&mut self, host: &mut Host, asleep: &mut Vec<Host>, steps: &mut usize) -> Ending {
        while !host.is_over() {
            *steps += 1;
            assert!(*steps < STEPS_MAX, "the job does not end");
            self.now += self.random.below(2_000) as i64;
            if self.deaths_left > 0 && self.random.once_in(self.deaths) {
                self.deaths_left -= 1;
                if self.random.once_in(5) {
                    host.stop();
                } else {
                    return Ending::Died;
                }
            }
            if self.ordered.len() < SAVEPOINTS_MAX && self.random.once_in(self.savepoints) {
                let then = if self.random.once_in(3) { Then::Stop } else { Then::GoOn };
                self.ordered.push(host.order_savepoint(then));
            }
            if !asleep.is_empty() && self.random.once_in(4) {
                let sleeper = self.random.below(asleep.len());
                if self.act(&mut asleep[sleeper]).is_err() || asleep[sleeper].is_over() {
                    asleep.swap_remove(sleeper);
                }
            }
            if let Err(fault) = self.act(host) {
                return Ending::Failed(fault);
            }
        }
        Ending::Over
    }

    /// Somebody in the host does something.
    fn act(&mut self, host: &mut Host) -> Result<(), Fault> {
        let now = Timestamp(self.now);
        let choice = self.random.below(100);
        let slot = self.random.below(host.slots());
        self.note(choice as u64 * 16 + slot as u64);
        match choice {
            0..70 => {
                let (task, budget) = (self.random.below(8), 1 + self.random.below(3));
                let progress = host.step(slot, task, now, budget)?;
                self.note(progress.map_or(99, code));
            }
            70..80 => host.obey(slot)?,
            80..90 => {
                let heard = host.hear(now)?;
                self.note(heard.into());
            }
            90..97 => {
                let which = self.random.below(8);
                let written = host.write(which);
                self.note(written.into());
            }
            _ => host.tick(now)?,
        }
        Ok(())
    }

    /// The folders of those savepoints that somebody was told are complete, and that leave something to be read: then no
    /// sum has been given out.
    fn made(&mut self) -> Vec<String> {
        self.store.fail(0);
        let place = self.place();
        let made = self.ordered.drain(..).filter_map(|mut ordered| ordered.made.try_recv().ok()?.ok());
        let folders = made.map(|made| made.path.rsplit('/').next().unwrap().to_owned());
        let leaves_something = |folder: &String| {
            let manifest = place.get(&format!("savepoints/{folder}/manifest.json")).unwrap();
            let manifest = Manifest::parse(&manifest.expect("savepoints are never deleted"), folder).unwrap();
            manifest.nodes.iter().flat_map(|node| &node.splits).any(|split| split.split.position.is_some())
        };
        folders.filter(leaves_something).collect()
    }

    /// What the job comes to, in sums, when it goes on from a savepoint that was moved, and nothing happens to it.
    fn sums_from(&mut self, savepoint: &str) -> Vec<String> {
        self.store.fail(0);
        let place = self.place();
        for key in place.list(&format!("savepoints/{savepoint}")).unwrap() {
            let name = key.rsplit('/').next().unwrap();
            self.folder.write(&format!("moved/{name}"), place.get(&key).unwrap().unwrap());
        }
        self.from = StartFrom::Path(self.folder.path().join("moved").display().to_string());
        self.outputs = "again";
        (self.store, self.deaths_left, self.savepoints) = (FaultyStore::new(0), 0, usize::MAX);
        self.run(0);
        self.lines("sums")
    }

    fn expect_simulated(&mut self, fault: &Fault) {
        self.note(fault.message.len() as u64);
        let expected = match fault.kind {
            FaultKind::Superseded => true,
            _ => fault.message.contains("the seed says so"),
        };
        assert!(expected, "{fault}");
        self.deaths_left = self.deaths_left.saturating_sub(1);
    }

    fn is_finished(&self, store: &Store) -> bool {
        use wasmill::control::checkpoint::restore::Origin;
        self.store.fail(0);
        let last = wasmill::storage::decisions::last(store).unwrap().expect("there is a decision");
        let reference = last.1.decision.state().cloned().expect("a checkpoint is complete");
        Origin::load(store, &reference).unwrap().manifest.is_finished
    }
}

/// The rows of a run in which nothing goes wrong.
fn expected() -> &'static [String] {
    static EXPECTED: OnceLock<Vec<String>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let mut world = World::new(0);
        (world.deaths_left, world.savepoints) = (0, usize::MAX);
        let rows = world.run(0);
        assert!(rows.len() > 90, "{}", rows.len());
        rows
    })
}

fn expected_sums() -> Vec<String> {
    expected().iter().filter(|row| row.contains("\"counted\"")).cloned().collect()
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
struct Simulated {
    /// Of everything that was done.
    hash: u64,
    /// Events that barriers have overtaken.
    overtaken: u64,
    /// Complete ones.
    savepoints: usize,
}

fn simulate(seed: u64) -> Simulated {
    let mut world = World::new(seed);
    let faults = [0, 0, 5, 40][world.random.below(4)];
    let rows = world.run(faults);
    let expected = expected();
    assert!(rows == expected, "{} rows, not {}: {:?}", rows.len(), expected.len(), difference(&rows, expected));
    let (overtaken, made) = (world.overtaken, world.made());
    if !made.is_empty() {
        let savepoint = &made[world.random.below(made.len())];
        let (sums, expected) = (world.sums_from(savepoint), expected_sums());
        assert!(sums == expected, "from savepoint {savepoint}: {:?}", difference(&sums, &expected));
    }
    Simulated { hash: world.trace.finish(), overtaken, savepoints: made.len() }
}

/// Some rows that are too many, and some that are missing.
fn difference<'a>(rows: &'a [String], expected: &'a [String]) -> (Vec<&'a String>, Vec<&'a String>) {
    let minus = |a: &'a [String], b: &'a [String]| {
        let mut rest: Vec<&String> = b.iter().collect();
        let extra = a.iter().filter(|row| match rest.iter().position(|other| other == row) {
            Some(at) => {
                rest.swap_remove(at);
                false
            }
            None => true,
        });
        extra.take(5).collect::<Vec<_>>()
    };
    (minus(rows, expected), minus(expected, rows))
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn whatever_fails_nothing_is_lost_and_nothing_comes_twice() {
    let seeds = match from_environment("WASMILL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + from_environment("WASMILL_SEEDS").unwrap_or(SEEDS),
    };
    let is_alone = seeds.end - seeds.start == 1;
    let (mut overtaken, mut savepoints) = (0, 0);
    for seed in seeds {
        match std::panic::catch_unwind(|| simulate(seed)) {
            Ok(simulated) => {
                overtaken += simulated.overtaken;
                savepoints += simulated.savepoints;
            }
            Err(_) => panic!("seed {seed} fails; alone: WASMILL_SEED={seed} cargo xtask test simulation"),
        }
    }
    assert!(overtaken > 0 || is_alone, "no checkpoint was unaligned");
    assert!(savepoints > 0 || is_alone, "no savepoint was made");
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in [3, 14, 159] {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}

/// Taken for dead when the files of its savepoint were still to be written, it writes them when its successor has made one.
#[test]
fn a_sleeper_writes_nothing_into_the_savepoint_of_its_successor() {
    let mut world = World::new(0);
    (world.deaths_left, world.savepoints) = (0, usize::MAX);
    let (store, plan) = (world.place(), world.plan(2));
    let start = |world: &World| Host::start(&plan, &store, &StartFrom::Latest, Timestamp(world.now)).unwrap();
    let mut sleeper = start(&world);
    for _ in 0..200 {
        world.act(&mut sleeper).unwrap();
    }
    sleeper.order_savepoint(Then::GoOn);
    for round in 0..200 {
        let now = Timestamp(world.now);
        sleeper.hear(now).unwrap();
        sleeper.obey(round % 2).unwrap();
        sleeper.step(round % 2, round / 2, now, 1).unwrap();
    }
    let mut successor = start(&world);
    for _ in 0..400 {
        world.act(&mut successor).unwrap();
    }
    assert!(!successor.is_over(), "the job is not at its end");
    let mut ordered = successor.order_savepoint(Then::Stop);
    while !successor.is_over() {
        world.act(&mut successor).unwrap();
    }
    let made = ordered.made.try_recv().unwrap().unwrap();
    assert!(sleeper.write(0), "it had files to write");
    while sleeper.write(0) {}
    let rows = world.run(0);
    assert!(rows == expected(), "{:?}", difference(&rows, expected()));
    assert!(world.sums_from(made.path.rsplit('/').next().unwrap()) == expected_sums());
}
