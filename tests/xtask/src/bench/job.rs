//! A job of ours, run as people run it, and what it says that it came to.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::measure::{self, Run};
use super::stand::Stand;

/// A job in `tests/jobs`, and what is overridden of it.
#[derive(Clone)]
pub struct Job {
    pub file: &'static str,
    settings: Vec<String>,
}

impl Job {
    pub fn of(file: &'static str) -> Self {
        Self { file, settings: Vec::new() }
    }

    pub fn set(mut self, setting: &str, value: impl Display) -> Self {
        self.settings.push(format!("{setting}={value}"));
        self
    }

    pub fn set_on(&self, command: &mut Command) {
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
    }

    /// `wasmill run`, with the report that it writes into `stand.report()`.
    pub fn command(&self, stand: &Stand) -> Command {
        let mut command = stand.wasmill("run", self.file);
        command.arg("--quiet").arg("--report").arg(stand.report());
        self.set_on(&mut command);
        command
    }

    /// From nothing to its end.
    pub fn run(&self, stand: &Stand) -> Result<(Run, Status)> {
        stand.forget_checkpoints()?;
        let run = measure::run(&mut self.command(stand))?;
        Ok((run, Status::read(&stand.report())?))
    }

    /// What it says while it runs; `None` = it is not there yet.
    pub fn status(&self, stand: &Stand) -> Result<Option<Status>> {
        let mut command = stand.wasmill("status", self.file);
        command.args(["--json", "--timeout", "10s"]);
        self.set_on(&mut command);
        let output = command.output().context("cannot run `wasmill status`")?;
        output.status.success().then(|| Status::parse(&String::from_utf8_lossy(&output.stdout))).transpose()
    }
}

/// What `wasmill status --json` and `wasmill run --report` say.
#[derive(Debug)]
pub struct Status(Value);

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checkpoint {
    pub duration_ms: f64,
    pub written_mb: f64,
    pub longest_pause_ms: f64,
}

impl Status {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map(Self).context("what wasmill says of the job")
    }

    /// After a stop.
    pub fn of_last_run(stand: &Stand) -> Result<Self> {
        Self::read(&stand.report())
    }

    fn total(&self, node: &str, of: &str) -> Result<u64> {
        let nodes = self.0["nodes"].as_array().into_iter().flatten();
        let node_status = nodes.into_iter().find(|status| status["uid"] == node);
        let total = node_status.and_then(|status| status[of].as_u64());
        total.with_context(|| format!("the job's status has no `{of}` of `{node}`"))
    }

    pub fn records_in(&self, node: &str) -> Result<u64> {
        self.total(node, "records_in_total")
    }

    pub fn records_out(&self, node: &str) -> Result<u64> {
        self.total(node, "records_out_total")
    }

    /// Whether it read so many events and wrote so many rows, and nothing was late or a dead letter.
    pub fn expect(&self, source: &str, events: u64, sink: &str, rows: u64) -> Result<()> {
        let (read, written) = (self.records_in(source)?, self.records_in(sink)?);
        ensure!(read == events, "`{source}` read {read} of {events} events");
        ensure!(written == rows, "`{sink}` has {written} rows, not {rows}");
        self.expect_no_losses()
    }

    pub fn expect_no_losses(&self) -> Result<()> {
        for node in self.0["nodes"].as_array().into_iter().flatten() {
            let lost = ["late_records_total", "dead_letters_total"].map(|of| node[of].as_u64().unwrap_or(0));
            ensure!(lost == [0, 0], "{}: {} events were late, {} are dead letters", node["uid"], lost[0], lost[1]);
        }
        Ok(())
    }

    /// How many are complete since the process was started.
    pub fn completed_checkpoints(&self) -> u64 {
        self.0["checkpoints"]["completed_checkpoints"].as_u64().unwrap_or(0)
    }

    /// Those that were complete when there were `first` to `last` of them.
    pub fn checkpoints(&self, first: u64, last: u64) -> Result<Vec<Checkpoint>> {
        let recent = self.0["checkpoints"]["recent_checkpoints"].as_array().context("no `recent_checkpoints`")?;
        let forgotten = self.completed_checkpoints() - recent.len() as u64;
        let wanted = (forgotten + 1..).zip(recent).filter(|(number, _)| (first..=last).contains(number));
        wanted.map(|(_, checkpoint)| Checkpoint::of(checkpoint)).collect()
    }
}

impl Checkpoint {
    fn of(checkpoint: &Value) -> Result<Self> {
        let number = |name: &str| checkpoint[name].as_f64().with_context(|| format!("a checkpoint has no `{name}`"));
        Ok(Self {
            duration_ms: number("checkpoint_duration_ms")?,
            written_mb: number("checkpoint_size_bytes")? / 1e6,
            longest_pause_ms: number("longest_pause_us")? / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_read() {
        let checkpoint = |ms: u64| json!({"checkpoint_duration_ms": ms, "checkpoint_size_bytes": 2_000_000, "longest_pause_us": 1500});
        let recent: Vec<Value> = [7, 8, 9].map(checkpoint).into();
        let node = |uid: &str, n: u64| json!({"uid": uid, "records_in_total": n, "late_records_total": 0, "dead_letters_total": 0});
        let status = Status(json!({
            "checkpoints": {"completed_checkpoints": 12, "recent_checkpoints": recent},
            "nodes": [node("in", 5), node("out", 4)],
        }));
        let made = status.checkpoints(11, 20).unwrap();
        assert_eq!(made.iter().map(|made| made.duration_ms).collect::<Vec<_>>(), [8.0, 9.0]);
        assert_eq!((made[0].written_mb, made[0].longest_pause_ms), (2.0, 1.5));
        assert!(status.expect("in", 5, "out", 4).is_ok());
        let error = status.expect("in", 5, "out", 5).unwrap_err().to_string();
        assert!(error.contains("`out` has 4 rows"), "{error}");
        assert!(status.expect("in", 5, "gone", 5).is_err());
    }
}
