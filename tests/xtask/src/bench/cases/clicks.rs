//! The main job over the 2 GB click file.

use std::process::Command;

use anyhow::Result;

use crate::bench::case::{Case, Subject};
use crate::bench::flink;
use crate::bench::job::Job;
use crate::bench::measure::{self, Run};
use crate::bench::stand::{CLICKS, Stand};

pub fn cases() -> Vec<Case> {
    let p2 = Case::per_second("clicks.p2", "the same with two slots, by the clock", by_clock(2));
    vec![
        against_all(Case::per_core(
            "clicks.p1",
            "the main job over the 2 GB click file, one slot",
            per_core("clicks", 1),
        )),
        p2.against("clicks.p1", by_clock(1)),
        against_all(Case::per_core(
            "clicks.raw",
            "the same with one slot, and the lines parsed in the sandbox",
            per_core("lines", 1),
        )),
    ]
}

fn against_all(case: Case) -> Case {
    let plain = Box::new(|stand: &Stand| {
        let mut command = Command::new(stand.plain_clicks()?);
        let run = measure::run(command.arg(stand.clicks()?).arg(stand.output("plain")?))?;
        stand.expect_clicks(run.stdout.trim())?;
        Ok(run.per_core_second(CLICKS))
    });
    let case = case.against("plain", plain);
    case.against("flink", flink::file("file", CLICKS)).against("flink-fast", flink::file("filefast", CLICKS))
}

fn per_core(source: &'static str, parallelism: u32) -> Subject {
    Box::new(move |stand| Ok(run(stand, source, parallelism)?.per_core_second(CLICKS)))
}

fn by_clock(parallelism: u32) -> Subject {
    Box::new(move |stand| Ok(run(stand, "clicks", parallelism)?.per_second(CLICKS)))
}

/// `source` tells the jobs apart.
fn run(stand: &Stand, source: &str, parallelism: u32) -> Result<Run> {
    let job = Job::of(if source == "lines" { "clicks-raw.toml" } else { "clicks-file.toml" })
        .set(&format!("sources.{source}.path"), stand.clicks()?.display())
        .set("sinks.counts.path", stand.output("counts")?.display())
        .set("parallelism", parallelism);
    let (run, status) = job.run(stand)?;
    status.expect_no_losses()?;
    stand.check_clicks()?;
    Ok(run)
}
