//! The commands around checkpoints, as people use them: on a job that runs, on one that has stopped, and on what it left.

mod damaged;
mod killed;
mod reading;
mod restoring;
mod savepoints;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::Folder;
use crate::keyed_job::{FAST, counted, json_files, keyed_events, out_of_order, totals};

/// It takes most of a minute, unless it is run by `finish_fast`.
const JOB: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "1h"
"#,
    keyed_events!(),
    r#"
    keys = 20
    count = 40000
    rate = 1000
    per_milli = 1
    splits = 4
"#,
    out_of_order!(),
    counted!(),
    r#"
    [operators.windows]
    inputs = ["count"]
    key_by = ["key"]
    window = { sliding = "10s", slide = "5s" }
    aggregate = { n = "count()", most = "max(value)", mean = "avg(value)" }
"#,
    totals!(),
    json_files!("out", r#"["windows", "totals"]"#)
);

/// What the job's sink shows when nothing happens to it.
fn straight() -> Vec<String> {
    let folder = Folder::new();
    let rows = folder.rows(JOB, FAST);
    assert!(rows.len() > 60, "{}", rows.len());
    rows
}

/// A job that runs until somebody stops it; killed if the test does not.
pub struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    /// Starts `job.toml`, and waits until it can be called.
    pub fn start(folder: &Folder, arguments: &[&str], fail_point: Option<&str>) -> Self {
        let mut command = folder.command(&[&["run", "job.toml"], arguments].concat());
        if let Some(place) = fail_point {
            command.env("WASMILL_FAIL_POINT", place);
        }
        Self::of(&mut command)
    }

    /// The same by this command.
    pub fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let running = Self { child, log };
        running.until("reach this job at");
        running
    }

    /// The log up to a line with this text.
    pub fn until(&self, text: &str) -> String {
        let mut log = String::new();
        loop {
            let Ok(line) = self.log.recv() else { panic!("`{text}` was not said: {log}") };
            log.push_str(&line);
            if line.contains(text) {
                return log;
            }
        }
    }

    /// Until the sink `out` of this job, which runs in the folder, has got rows; more arguments of `status`.
    pub fn makes_rows(&self, folder: &Folder, arguments: &[&str]) {
        self.gets_rows(folder, 1, arguments);
    }

    /// Until it has got so many.
    pub fn gets_rows(&self, folder: &Folder, count: u64, arguments: &[&str]) {
        let rows = || {
            let status = json(folder, &[&["status", "job.toml"], arguments].concat());
            let is_alive = status["process_id"] == self.child.id() && status["state"] == "running";
            assert!(is_alive && status["restarts_total"] == 0, "it has died: {status}");
            let sink = status["nodes"].as_array().unwrap().iter().find(|node| node["uid"] == "out").cloned();
            sink.unwrap()["records_in_total"].as_u64().unwrap()
        };
        while rows() < count {}
    }

    /// `STOP` or `CONT`: the host sleeps, and goes on.
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command that must succeed prints.
pub fn say(folder: &Folder, arguments: &[&str]) -> String {
    let ran = folder.call(arguments);
    assert!(ran.success, "{arguments:?}: {}", ran.stderr);
    ran.stdout.trim_end().to_owned()
}

pub fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let text = say(folder, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Until the running job has so many complete checkpoints, savepoints among them.
fn makes_checkpoints(folder: &Folder, many: u64) {
    loop {
        let status = json(folder, &["status", "job.toml"]);
        if status["checkpoints"]["completed_checkpoints"].as_u64().unwrap() >= many {
            return;
        }
        assert_eq!(status["state"], "running", "{status}");
    }
}

/// A job that was stopped with a savepoint in `folder/savepoint`.
fn stopped(folder: &Folder) {
    folder.write("job.toml", JOB);
    let running = Running::start(folder, &[], None);
    say(folder, &["savepoint", "job.toml"]);
    say(folder, &["stop", "job.toml", "--savepoint", "savepoint"]);
    assert!(running.end().success());
}
