//! The cases: what is run, what it is compared with, and how a run becomes a figure.

use std::process::Command;

use anyhow::{Context, Result};
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
        measure::run(&mut (self.command)(stand)?)?.sample(self.metric)
    }
}

const PER_CORE: &str = "events per core-second";
const PER_SECOND: &str = "events per second";

const CLICKS_P1: Subject = Subject { command: |stand| clicks(stand, 1), metric: Metric::PerCoreSecond(CLICKS) };
const CLICKS_P1_BY_CLOCK: Subject = Subject { metric: Metric::PerSecond(CLICKS), ..CLICKS_P1 };
const CLICKS_P2: Subject = Subject { command: |stand| clicks(stand, 2), metric: Metric::PerSecond(CLICKS) };

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
        kind: Kind::Processes {
            ours: CLICKS_P1,
            references: &[
                Reference {
                    name: "plain",
                    subject: Subject { command: plain_clicks, metric: Metric::PerCoreSecond(CLICKS) },
                },
                Reference {
                    name: "flink",
                    subject: Subject { command: |s| flink_file(s, "file"), metric: FLINK_PERCORE },
                },
                Reference {
                    name: "flink-fast",
                    subject: Subject { command: |s| flink_file(s, "filefast"), metric: FLINK_PERCORE },
                },
            ],
        },
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
];

fn clicks(stand: &Stand, parallelism: u32) -> Result<Command> {
    let mut command = stand.wasmill("clicks-file.toml");
    command.arg("--set").arg(format!("sources.clicks.path={}", stand.clicks()?.display()));
    command.arg("--set").arg(format!("sinks.counts.path={}", stand.output("counts")?.display()));
    command.arg("--set").arg(format!("parallelism={parallelism}"));
    Ok(command)
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

/// The first of Flink's repetitions warms the JVM up.
const FLINK_PERCORE: Metric = Metric::Reported(|stdout| {
    let results = stdout.lines().filter_map(|line| line.strip_prefix("RESULT "));
    let results = results.map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let warm = results.get(1..).filter(|warm| !warm.is_empty()).context("Flink reported no warm run")?;
    Ok(measure::median(warm.iter().filter_map(|result| result["percore"].as_f64())))
});

fn flink_file(stand: &Stand, case: &str) -> Result<Command> {
    let mut command = stand.flink()?;
    command.arg(format!("case={case}")).args(["par=1", "reps=4", "ckpt=10000"]);
    command.arg(format!("lines={CLICKS}")).arg(format!("in={}", stand.clicks()?.display()));
    Ok(command)
}
