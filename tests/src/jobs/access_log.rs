//! A real web server's log, against an oracle in another language.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Folder, repository};
use crate::keyed_job::{die_at, finish};

/// The log as requests with event times: its lines are up to a minute out of order.
const REQUESTS: &str = r#"
    name = "job"
    [sources.lines]
    connector = "file"
    path = "access.log"
    format = "raw"
    split_bytes = "256KiB"

    [operators.requests]
    inputs = ["lines"]
    plugin = "plugins/access-log.wasm"
    event_time = { column = "time" }
    watermark = { out_of_orderness = "2m" }
"#;

const SINK: &str = r#"
    connector = "file"
    path = "out"
    format = "json"
"#;

fn oracle(question: &str) -> Vec<Value> {
    let script = repository().join("tests/oracle/access_log.py");
    let output = Command::new("python3").arg(script).arg(question).output().expect("python3, which xtask installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of the job at parallelism 1 and 3, which must be the same; the one bad line of the log is a dead letter.
fn rows(operators: &str, last: &str) -> Vec<Value> {
    let folder = Folder::new();
    folder.write("access.log", std::fs::read(repository().join("tests/data/access.log")).unwrap());
    let job = format!("{REQUESTS}{operators}[sinks.out]\ninputs = [\"{last}\"]{SINK}");
    let one = folder.rows(&job, &["-p", "1"]);
    let letters = folder.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["node"], "requests");
    assert_eq!(folder.rows(&job, &["-p", "3"]), one);
    assert_eq!(rows_of_two_lives(&folder, &job), one);
    one.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// The same job, which dies after some checkpoints and goes on with another number of slots.
fn rows_of_two_lives(folder: &Folder, job: &str) -> Vec<String> {
    folder.remove("out");
    folder.write("job.toml", format!("{job}\n[checkpoints]\ninterval = \"1ms\"\n[limits]\nbatch_rows_max = 16\n"));
    die_at(folder, "decided.before_follow", 2, &["-p", "3"]);
    finish(folder, &["-p", "2"]);
    folder.lines("out")
}

fn sorted(rows: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().map(|row| row.to_string()).collect();
    rows.sort();
    rows
}

fn millis(row: &Value, column: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(row[column].as_str().unwrap()).unwrap().timestamp_millis()
}

#[test]
fn traffic_by_status_class() {
    let operators = r#"
        [operators.traffic]
        inputs = ["requests"]
        key_by = ["class"]
        window = { tumbling = "5m" }
        aggregate = { hits = "count()", bytes = "sum(bytes)" }
    "#;
    let ours = rows(operators, "traffic").into_iter().map(|row| {
        json!({ "window_start": millis(&row, "window_start"), "window_end": millis(&row, "window_end"),
                "class": row["class"], "hits": row["hits"], "bytes": row["bytes"] })
    });
    assert_eq!(sorted(ours), sorted(oracle("traffic")));
}

#[test]
fn the_ten_most_requested_paths_of_each_hour() {
    let operators = r#"
        [operators.by_path]
        inputs = ["requests"]
        key_by = ["path"]
        window = { tumbling = "1h" }
        aggregate = { hits = "count()" }

        [operators.top]
        inputs = ["by_path"]
        window = { tumbling = "1h" }
        aggregate = { top = { plugin = "plugins/top-paths.wasm" } }
    "#;
    let ours = rows(operators, "top").into_iter().flat_map(|row| {
        let (start, end) = (millis(&row, "window_start"), millis(&row, "window_end"));
        let top = row["top"].as_array().unwrap().clone();
        top.into_iter().enumerate().map(move |(rank, path)| {
            json!({ "window_start": start, "window_end": end, "rank": rank + 1, "path": path["path"], "hits": path["hits"] })
        })
    });
    assert_eq!(sorted(ours), sorted(oracle("paths")));
}

#[test]
fn sessions_of_clients() {
    let operators = r#"
        [operators.sessions]
        inputs = ["requests"]
        key_by = ["client"]
        plugin = "plugins/sessions.wasm"
    "#;
    let ours = rows(operators, "sessions").into_iter().map(|row| {
        // The oracle's session ends when nothing can join it any more.
        let end = millis(&row, "end") + 30 * 60 * 1_000;
        json!({ "client": row["client"], "start": millis(&row, "start"), "end": end, "requests": row["requests"] })
    });
    assert_eq!(sorted(ours), sorted(oracle("sessions")));
}
