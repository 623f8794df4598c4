//! What jobs over the generator's keyed events have in common: parts of job files for `concat!`, which leave each test's
//! own settings where they are, and how such jobs are run and killed.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::harness::{Folder, Ran};

/// A source `events`, whose other settings stand behind it.
macro_rules! keyed_events {
    () => {
        r#"
    [sources.events]
    connector = "generator"
    events = "keyed"
    event_time = { column = "timestamp", unit = "ms" }
"#
    };
}

/// Settings of it.
macro_rules! out_of_order {
    () => {
        r#"
    out_of_orderness = "200ms"
    watermark = { out_of_orderness = "200ms" }
"#
    };
}

/// The number of each event among those of its key.
macro_rules! counted {
    () => {
        r#"
    [operators.count]
    inputs = ["events"]
    key_by = ["key"]
    plugin = "plugins/count.wasm"
"#
    };
}

/// Of each key the last of these numbers and the sum of all: they are 1, 2, 3 and so on, in whatever order events come.
macro_rules! totals {
    () => {
        r#"
    [operators.totals]
    inputs = ["count"]
    key_by = ["key"]
    window = { tumbling = "1h" }
    aggregate = { counted = "max(count)", counts = "sum(count)" }
"#
    };
}

/// The numbers of `counted` meet the first of each key, which is said at the end; `steps` says whether they are in order.
macro_rules! met_again {
    () => {
        r#"
    [operators.firsts]
    inputs = ["count"]
    key_by = ["key"]
    window = { tumbling = "1h" }
    aggregate = { count = "min(count)", value = "min(value)" }
    [operators.met]
    inputs = ["count", "firsts"]
    plugin = "plugins/map.wasm"
    operator = "map-value"
    [operators.steps]
    inputs = ["met"]
    key_by = ["key"]
    plugin = "plugins/steps.wasm"
"#
    };
}

/// A sink of JSON in a folder of its name.
macro_rules! json_files {
    ($name:literal, $inputs:literal) => {
        concat!(
            "\n    [sinks.",
            $name,
            "]\n    inputs = ",
            $inputs,
            "\n    connector = \"file\"\n    path = \"",
            $name,
            "\"\n    format = \"json\"\n"
        )
    };
}

/// Each death is one of a whole process.
macro_rules! no_restart {
    () => {
        r#"
    [restart]
    strategy = "none"
"#
    };
}

pub(crate) use {counted, json_files, keyed_events, met_again, no_restart, out_of_order, totals};

/// As fast as it goes, whatever `rate` the events have.
pub const FAST: &[&str] = &["--set", "sources.events.rate=1000000000"];

/// The same job with little memory, so that RocksDB has to do something.
pub fn on_rocksdb(job: &str) -> String {
    let settings = r#"
    [state]
    backend = "rocksdb"
    cache_bytes_max = "8KiB"
    write_buffer_bytes_max = "256KiB"
    block_cache_bytes_max = "256KiB"
"#;
    format!("{job}{settings}")
}

/// Runs `job.toml` until it dies at this place for the n-th time.
pub fn die_at(folder: &Folder, place: &str, n: u32, arguments: &[&str]) {
    let mut command = folder.command(&[&["run", "job.toml"], arguments].concat());
    let output = command.env("WASMILL_FAIL_POINT", format!("{place}:{n}")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "`{place}` was not reached for time {n}: {text}");
}

/// What fails here would fail for ever.
const NO_RESTART: [&str; 2] = ["--set", "restart.strategy=\"none\""];

/// Runs `job.toml` to its end; what it says.
pub fn finish(folder: &Folder, arguments: &[&str]) -> String {
    let ran = folder.call(&[&["run", "job.toml"], &NO_RESTART[..], arguments].concat());
    assert!(ran.success, "{}", ran.stderr);
    ran.stderr
}

pub fn finish_fast(folder: &Folder, arguments: &[&str]) -> String {
    finish(folder, &[FAST, arguments].concat())
}

/// A host of `job.toml` that has come to this place for the n-th time and stands there.
pub fn stopped_at(folder: &Folder, place: &str, n: u32) -> Child {
    let mut command = folder.command(&["run", "job.toml"]);
    command.env("WASMILL_FAIL_POINT", format!("{place}:{n}:stop")).stderr(Stdio::piped());
    let host = command.spawn().unwrap();
    let (_, status) = waitpid(Some(Pid::from_child(&host)), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "`{place}` was not reached for time {n}: {status:?}");
    host
}

/// Lets it go on, to its end.
pub fn go_on(host: Child) -> Ran {
    kill_process(Pid::from_child(&host), Signal::CONT).unwrap();
    Ran::from(host.wait_with_output().unwrap())
}
