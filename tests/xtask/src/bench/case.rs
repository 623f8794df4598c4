//! The cases: what is run, what it is compared with, and how a run becomes a figure.

use std::fmt::Display;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::measure::{self, Metric, Sample};
use super::stand::{CLICKS, Stand};

pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub unit: &'static str,
    pub kind: Kind,
}

pub enum Kind {
    /// Whole processes: ours, in turns with its references. Higher figures are better.
    Processes { ours: Subject, references: &'static [Reference] },
    /// One process that has its reference inside, and reports how they compare.
    Reports { command: fn(&Stand) -> Result<Command>, reference: &'static str, read: fn(&str) -> Result<Compared> },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    pub value: f64,
    /// Above 1 = ours is better.
    pub ratio: f64,
}

pub struct Reference {
    pub name: &'static str,
    pub subject: Subject,
}

/// A whole process, and the figure that a run of it gives.
#[derive(Clone, Copy)]
pub struct Subject {
    pub command: fn(&Stand) -> Result<Command>,
    pub metric: Metric,
    /// Whether it did what it should; given what it printed.
    pub check: fn(&Stand, &str) -> Result<()>,
}

impl Case {
    /// By its whole name, or by the part before a dot.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Reference {
    pub fn is_flink(&self) -> bool {
        self.name.starts_with("flink")
    }
}

impl Subject {
    pub fn measure(&self, stand: &Stand) -> Result<Sample> {
        let run = measure::run(&mut (self.command)(stand)?)?;
        (self.check)(stand, &run.stdout)?;
        run.sample(self.metric)
    }
}

const PER_CORE: &str = "events per core-second";
const PER_SECOND: &str = "events per second";

const fn unchecked(command: fn(&Stand) -> Result<Command>, metric: Metric) -> Subject {
    Subject { command, metric, check: |_, _| Ok(()) }
}

const fn checked(command: fn(&Stand) -> Result<Command>, metric: Metric) -> Subject {
    Subject { command, metric, check: |stand, _| stand.check_clicks() }
}

const FLINK_FILE: Metric = Metric::Reported(|stdout| flink_percore(stdout, 1));
const FLINK_GENERATOR: Metric = Metric::Reported(|stdout| flink_percore(stdout, 0));

const CLICKS_P1: Subject = checked(|stand| clicks(stand, "clicks-file.toml", 1), Metric::PerCoreSecond(CLICKS));
const CLICKS_P1_BY_CLOCK: Subject = Subject { metric: Metric::PerSecond(CLICKS), ..CLICKS_P1 };
const CLICKS_P2: Subject = checked(|stand| clicks(stand, "clicks-file.toml", 2), Metric::PerSecond(CLICKS));
const CLICKS_RAW: Subject = checked(|stand| clicks(stand, "clicks-raw.toml", 1), Metric::PerCoreSecond(CLICKS));

const CLICKS_REFERENCES: &[Reference] = &[
    Reference {
        name: "plain",
        subject: Subject {
            command: plain_clicks,
            metric: Metric::PerCoreSecond(CLICKS),
            check: |stand, stdout| stand.expect_clicks(stdout.trim()),
        },
    },
    Reference { name: "flink", subject: unchecked(|stand| flink_file(stand, "file"), FLINK_FILE) },
    Reference { name: "flink-fast", subject: unchecked(|stand| flink_file(stand, "filefast"), FLINK_FILE) },
];

/// An operator and a number of rows, as `wasmill-bench boundary` names them.
macro_rules! boundary {
    ($case:literal, $about:literal) => {
        Case {
            name: concat!("boundary.", $case),
            about: $about,
            unit: "ns/event over native",
            kind: Kind::Reports { command: |stand| stand.boundary($case), reference: "native", read: read_boundary },
        }
    };
}

/// `tests/jobs/count.toml` with so many keys and events, on a backend of ours and the one of Flink's that is like it.
macro_rules! count {
    ($name:literal, $about:literal, $backend:literal / $flink:literal, $keys:literal, $events:literal, $parallelism:literal) => {
        Case {
            name: $name,
            about: $about,
            unit: PER_CORE,
            kind: Kind::Processes {
                ours: unchecked(
                    |stand| Ok(count(stand.wasmill("count.toml"), $backend, $keys, $events, $parallelism)),
                    Metric::PerCoreSecond($events),
                ),
                references: &[
                    Reference {
                        name: "native",
                        subject: unchecked(
                            |stand| Ok(count(stand.native_count(), $backend, $keys, $events, $parallelism)),
                            Metric::PerCoreSecond($events),
                        ),
                    },
                    Reference {
                        name: "flink",
                        subject: unchecked(
                            |stand| {
                                let job = concat!(
                                    "case=count backend=",
                                    $flink,
                                    " ckpt=0 keys=",
                                    $keys,
                                    " par=",
                                    $parallelism
                                );
                                flink_generator(stand, job)
                            },
                            FLINK_GENERATOR,
                        ),
                    },
                ],
            },
        }
    };
}

/// `tests/jobs/pass-key.toml`.
macro_rules! pass {
    ($name:literal, $about:literal, $parallelism:literal) => {
        Case {
            name: $name,
            about: $about,
            unit: PER_CORE,
            kind: Kind::Processes {
                ours: unchecked(|stand| Ok(pass_key(stand, $parallelism)), Metric::PerCoreSecond(PASSED)),
                references: &[Reference {
                    name: "flink",
                    subject: unchecked(
                        |stand| flink_generator(stand, concat!("case=pass exch=3 par=", $parallelism)),
                        FLINK_GENERATOR,
                    ),
                }],
            },
        }
    };
}

pub const CASES: &[Case] = &[
    boundary!("map.1", "a map of every column of a 124-byte event, one event a batch"),
    boundary!("map.64", "the same, 64 events a batch"),
    boundary!("map.1024", "the same, 1024 events a batch"),
    boundary!("map.4096", "the same, 4096 events a batch"),
    boundary!("filter.1024", "a filter on the 100-byte payload"),
    boundary!("clicks.1024", "three typed columns of six read, one written"),
    boundary!("check.1024", "the main job's operator, which looks at every byte of its three texts"),
    Case {
        name: "clicks.p1",
        about: "the main job over the 2 GB click file, one slot",
        unit: PER_CORE,
        kind: Kind::Processes { ours: CLICKS_P1, references: CLICKS_REFERENCES },
    },
    Case {
        name: "clicks.p2",
        about: "the same with two slots, by the clock",
        unit: PER_SECOND,
        kind: Kind::Processes {
            ours: CLICKS_P2,
            references: &[Reference { name: "clicks.p1", subject: CLICKS_P1_BY_CLOCK }],
        },
    },
    Case {
        name: "clicks.raw",
        about: "the same with one slot, and the lines parsed in the sandbox",
        unit: PER_CORE,
        kind: Kind::Processes { ours: CLICKS_RAW, references: CLICKS_REFERENCES },
    },
    count!(
        "count.1k.memory.p1",
        "a keyed count, a row for each event: 1,000 keys, one slot",
        "memory" / "heap",
        1_000,
        50_000_000,
        1
    ),
    count!("count.1k.memory.p2", "the same with two slots", "memory" / "heap", 1_000, 50_000_000, 2),
    count!("count.1m.memory.p1", "the same with 1,000,000 keys, one slot", "memory" / "heap", 1_000_000, 30_000_000, 1),
    count!("count.1m.memory.p2", "the same with two slots", "memory" / "heap", 1_000_000, 30_000_000, 2),
    count!("count.1k.rocksdb.p1", "1,000 keys in RocksDB, one slot", "rocksdb" / "rocks", 1_000, 50_000_000, 1),
    count!("count.1k.rocksdb.p2", "the same with two slots", "rocksdb" / "rocks", 1_000, 50_000_000, 2),
    count!("count.1m.rocksdb.p1", "1,000,000 keys in RocksDB, one slot", "rocksdb" / "rocks", 1_000_000, 10_000_000, 1),
    count!("count.1m.rocksdb.p2", "the same with two slots", "rocksdb" / "rocks", 1_000_000, 10_000_000, 2),
    pass!("pass.key.p1", "a map of one column and a keyed exchange, one slot", 1),
    pass!("pass.key.p2", "the same with two slots", 2),
];

const PASSED: u64 = 100_000_000;

fn clicks(stand: &Stand, job: &str, parallelism: u32) -> Result<Command> {
    let source = if job == "clicks-raw.toml" { "lines" } else { "clicks" };
    let mut command = stand.wasmill(job);
    set(&mut command, &format!("sources.{source}.path"), stand.clicks()?.display());
    set(&mut command, "sinks.counts.path", stand.output("counts")?.display());
    set(&mut command, "parallelism", parallelism);
    Ok(command)
}

fn count(mut command: Command, backend: &str, keys: u64, events: u64, parallelism: u32) -> Command {
    set(&mut command, "state.backend", backend);
    set(&mut command, "sources.events.keys", keys);
    set(&mut command, "sources.events.count", events);
    set(&mut command, "parallelism", parallelism);
    command
}

fn pass_key(stand: &Stand, parallelism: u32) -> Command {
    let mut command = stand.wasmill("pass-key.toml");
    set(&mut command, "sources.events.count", PASSED);
    set(&mut command, "parallelism", parallelism);
    command
}

fn set(command: &mut Command, setting: &str, value: impl Display) {
    command.arg("--set").arg(format!("{setting}={value}"));
}

fn plain_clicks(stand: &Stand) -> Result<Command> {
    let mut command = Command::new(stand.plain_clicks()?);
    command.arg(stand.clicks()?).arg(stand.output("plain")?);
    Ok(command)
}

fn read_boundary(stdout: &str) -> Result<Compared> {
    let figures: Value = serde_json::from_str(stdout.trim()).context("what wasmill-bench prints")?;
    let figure = |name: &str| figures[name].as_f64().with_context(|| format!("it reported no `{name}`"));
    let (wasm, native) = (figure("wasm")?, figure("native")?);
    Ok(Compared { value: wasm - native, ratio: native / wasm })
}

/// Events per core-second of Flink's intervals, of which the first `cold` do not count.
fn flink_percore(stdout: &str, cold: usize) -> Result<f64> {
    let results = stdout.lines().filter_map(|line| line.strip_prefix("RESULT "));
    let results = results.map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let median = measure::median(results.iter().skip(cold).filter_map(|result| result["percore"].as_f64()));
    ensure!(median.is_finite(), "Flink reported no warm run");
    Ok(median)
}

/// The first repetition warms the JVM up.
fn flink_file(stand: &Stand, case: &str) -> Result<Command> {
    let mut command = stand.flink()?;
    command.arg(format!("case={case}")).args(["par=1", "reps=3", "ckpt=10000"]);
    command.arg(format!("lines={CLICKS}")).arg(format!("in={}", stand.clicks()?.display()));
    Ok(command)
}

/// It is warm before it is measured.
fn flink_generator(stand: &Stand, case: &str) -> Result<Command> {
    let mut command = stand.flink()?;
    command.args(case.split(' ')).args(["warm=12", "meas=10", "reps=1"]);
    Ok(command)
}
