//! Operators with a key and a second input that every slot gets whole: what they keep of it is the same in each slot,
//! whatever happens to the job, and however many slots there are then.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::Folder;
use crate::keyed_job::{die_at, finish, on_rocksdb};

const EVENTS: usize = 60_000;

/// Values by key, and limits, over the same six seconds of the machine and the same 600 milliseconds of event time.
const JUDGED: &str = r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
    [sources.events]
    connector = "generator"
    events = "keyed"
    keys = 50
    count = 60000
    rate = 10000
    per_milli = 100
    splits = 3
    out_of_orderness = "20ms"
    event_time = { column = "timestamp", unit = "ms" }
    watermark = { out_of_orderness = "20ms" }
    [sources.limits]
    connector = "generator"
    events = "keyed"
    seed = 7
    count = 600
    rate = 100
    per_milli = 1
    splits = 2
    out_of_orderness = "20ms"
    event_time = { column = "timestamp", unit = "ms" }
    watermark = { out_of_orderness = "20ms" }
    [operators.judge]
    inputs = ["events"]
    broadcast = ["limits"]
    key_by = ["key"]
    plugin = "plugins/kinds.wasm"
    operator = "judge"
    [sinks.out]
    inputs = ["judge"]
    connector = "file"
    path = "out"
    format = "json"
    [sinks.limits_seen]
    inputs = ["limits"]
    connector = "file"
    path = "limits"
    format = "json"
    [restart]
    strategy = "none"
"#;

const FAST: &[&str] = &["--set", "sources.events.rate=1000000000", "--set", "sources.limits.rate=1000000000"];

fn parsed(lines: &[String]) -> impl Iterator<Item = Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap())
}

/// The limits in force from each millisecond on: of one instant the largest; 666 trapped.
fn limits(folder: &Folder) -> BTreeMap<i64, i64> {
    let mut limits: BTreeMap<i64, i64> = BTreeMap::new();
    for row in parsed(&folder.lines("limits")) {
        let (at, value) = (row["timestamp"].as_i64().unwrap(), row["value"].as_i64().unwrap());
        if value != 666 {
            let limit = limits.entry(at).or_insert(value);
            *limit = value.max(*limit);
        }
    }
    assert!(limits.len() > 300, "{}", limits.len());
    limits
}

fn millis(text: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap().timestamp_millis()
}

#[test]
fn each_value_meets_the_limit_of_its_time_whatever_happens() {
    let straight = Folder::new();
    let ran = straight.run(JUDGED, FAST);
    assert!(ran.success, "{}", ran.stderr);
    let (expected, limits) = (straight.lines("out"), limits(&straight));
    assert_eq!(expected.len(), EVENTS);
    for row in parsed(&expected) {
        let limit = limits.range(..=millis(&row["at"])).next_back().map(|(_, limit)| *limit);
        assert_eq!(row["limit"], json!(limit), "{row}");
    }
    for job in [JUDGED.to_owned(), on_rocksdb(JUDGED)] {
        let folder = Folder::new();
        folder.write("job.toml", &job);
        die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=1"]);
        die_at(&folder, "decided.before_ack", 1, &["--set", "parallelism=4"]);
        die_at(&folder, "upload.middle", 2, &["--set", "parallelism=4"]);
        finish(&folder, &[FAST, &["--set", "parallelism=2"]].concat());
        let found = folder.lines("out");
        assert!(found == expected, "{} rows, not {}: {job}", found.len(), expected.len());
        assert_eq!(scanned(&folder, "limits"), limits);
    }
}

/// The entries of a map by instants.
fn scanned(folder: &Folder, state: &str) -> BTreeMap<i64, i64> {
    let ran = folder.call(&["state", "scan", "job.toml", "judge", state, "--json"]);
    assert!(ran.success, "{}", ran.stderr);
    let lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    let entries: BTreeMap<_, _> =
        parsed(&lines).map(|entry| (millis(&entry["entry"]), entry["value"].as_i64().unwrap())).collect();
    assert_eq!(entries.len(), lines.len(), "one copy is kept");
    entries
}

/// The same operator on files.
const ON_FILES: &str = r#"
    name = "job"
    parallelism = 3
    dead_letter_limit = "100%"
    [checkpoints]
    [sources.events]
    connector = "file"
    path = "events.jsonl"
    format = "json"
    schema = { key = "text", value = "i64", at = "i64" }
    event_time = { column = "at", unit = "s" }
    [sources.limits]
    connector = "file"
    path = "limits.jsonl"
    format = "json"
    schema = { value = "i64", at = "i64" }
    event_time = { column = "at", unit = "s" }
    [operators.judge]
    inputs = ["events"]
    broadcast = ["limits"]
    key_by = ["key"]
    plugin = "plugins/kinds.wasm"
    operator = "judge"
    [sinks.out]
    inputs = ["judge"]
    connector = "file"
    path = "out"
    format = "json"
"#;

fn write_files(folder: &Folder, limits: &[i64]) {
    let lines = |rows: Vec<Value>| rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let event = |at| json!({ "key": format!("k{}", at % 5), "value": at, "at": 100 + at });
    folder.write("events.jsonl", lines((0..100).map(event).collect()));
    let limits = limits.iter().zip(1..).map(|(value, at)| json!({ "value": value, "at": at }));
    folder.write("limits.jsonl", lines(limits.collect()));
}

#[test]
fn a_broadcast_row_that_fails_changes_nothing_in_any_slot() {
    let folder = Folder::new();
    write_files(&folder, &[7, -3, 5, 666]);
    let rows = folder.rows(ON_FILES, &[]);
    assert_eq!(rows.len(), 100);
    assert!(parsed(&rows).all(|row| row["limit"] == 5), "{}", rows[0]);
    // Each slot has seen them fail.
    let letters = folder.dead_letters();
    let of = |value: i64, reason: &str| {
        let fits =
            |letter: &&Value| letter["event"]["value"] == value && letter["reason"].as_str().unwrap().contains(reason);
        letters.iter().filter(fits).count()
    };
    assert_eq!((of(-3, "it is negative"), of(666, "it trapped"), letters.len()), (3, 3, 6), "{letters:?}");
    assert_eq!(scanned(&folder, "limits").into_values().collect::<Vec<_>>(), [7, 5]);
    let got = folder.call(&["state", "get", "job.toml", "judge", "limits", "--key", "{}", "--json"]);
    assert_eq!(got.stdout.lines().count(), 2, "{}", got.stderr);
    let inspected = folder.call(&["checkpoint", "inspect", "job.toml"]).stdout;
    assert!(inspected.contains("limits: broadcast map<timestamp, i64>"), "{inspected}");
}

#[test]
fn broadcast_state_has_a_limit() {
    let folder = Folder::new();
    write_files(&folder, &[1, 2, 3, 4, 5]);
    // An entry has 19 bytes: the number of its state, its key, its value.
    let job = format!("{ON_FILES}\n[limits.plugin]\nbroadcast_state_bytes_max = 60");
    let rows = folder.rows(&job, &["-p", "1"]);
    assert!(parsed(&rows).all(|row| row["limit"] == 3), "{}", rows[0]);
    let letters = folder.dead_letters();
    assert_eq!(letters.len(), 2, "{letters:?}");
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(reason.contains("would have 76 bytes; broadcast_state_bytes_max of [limits.plugin] is 60"), "{reason}");
}
