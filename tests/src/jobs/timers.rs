//! Timers of more keys than fit into memory: a job gives what it gives with all of them in memory, whatever happens to it.

use std::fmt::Write;

use serde_json::Value;

use crate::harness::Folder;
use crate::keyed_job::{die_at, finish, json_files, no_restart, on_rocksdb};

/// Each client has one timer; about half of them have an open session at any time.
const CLIENTS: u64 = 6_000;
/// So many that the first checkpoints of each life come long before the last of them.
const REQUESTS: u64 = 360_000;

const SESSIONS: &str = concat!(
    r#"
    name = "job"
    max_parallelism = 16
    [limits]
    batch_rows_max = 200
    [checkpoints]
    interval = "10ms"
    [sources.requests]
    connector = "file"
    path = "requests.jsonl"
    format = "json"
    split_bytes = "2MiB"
    schema = { client = "text", at = "i64" }
    event_time = { column = "at", unit = "s" }
    [operators.sessions]
    inputs = ["requests"]
    key_by = ["client"]
    plugin = "plugins/sessions.wasm"
"#,
    json_files!("out", r#"["sessions"]"#),
    no_restart!()
);

fn whole(job: &str) -> String {
    job.replace("[checkpoints]", "[checkpoints]\n    incremental = false")
}

/// Two requests 25 minutes apart are a session, and then there is none of the client for 50 minutes.
fn folder() -> Folder {
    let mut requests = String::new();
    for number in (0..REQUESTS).filter(|number| !(number / CLIENTS + number % CLIENTS).is_multiple_of(3)) {
        writeln!(requests, r#"{{"client":"{}","at":{}}}"#, number % CLIENTS, number / 4).unwrap();
    }
    let folder = Folder::new();
    folder.write("requests.jsonl", requests);
    folder
}

fn expected() -> Vec<String> {
    let expected = folder().rows(SESSIONS, &["-p", "1"]);
    assert!(expected.len() as u64 > 2 * CLIENTS, "{}", expected.len());
    expected
}

fn scanned(folder: &Folder, state: &str) -> Vec<Value> {
    let ran = folder.call(&["state", "scan", "job.toml", "sessions", state, "--json"]);
    assert!(ran.success, "{}", ran.stderr);
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_job_with_timers_larger_than_memory_goes_on_with_other_slots() {
    let expected = expected();
    for job in [on_rocksdb(SESSIONS), on_rocksdb(&whole(SESSIONS))] {
        let folder = folder();
        folder.write("job.toml", &job);
        die_at(&folder, "decided.before_ack", 2, &["-p", "1"]);
        die_at(&folder, "upload.middle", 3, &["-p", "1"]);
        die_at(&folder, "decided.before_follow", 2, &["-p", "3"]);
        // Each open session has its timer.
        let (timers, open) = (scanned(&folder, "session-over"), scanned(&folder, "open"));
        assert!(timers.len() > 100, "{}", timers.len());
        assert_eq!(timers.len(), open.len());
        finish(&folder, &["-p", "2"]);
        let rows = folder.lines("out");
        assert!(rows == expected, "{} rows, not {}: {job}", rows.len(), expected.len());
    }
}

#[test]
fn timers_larger_than_memory_go_from_one_backend_to_the_other() {
    let (expected, folder, memory) = (expected(), folder(), whole(SESSIONS));
    let rocksdb = on_rocksdb(&memory);
    for job in [&memory, &rocksdb, &memory, &rocksdb] {
        folder.write("job.toml", job);
        die_at(&folder, "decided.before_ack", 2, &["-p", "2"]);
    }
    folder.write("job.toml", &memory);
    finish(&folder, &["-p", "2"]);
    assert!(folder.lines("out") == expected);
}
