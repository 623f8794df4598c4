//! Each kind of state in whole jobs, against models: however rows are cut into calls, among rows that are refused and rows
//! that trap, and whatever the parallelism.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::Folder;
use crate::keyed_job::{FAST, die_at, finish_fast, json_files, keyed_events, no_restart, on_rocksdb};

const KEYS: u64 = 5;

/// `(key, value)`, in order; a few are negative, which the operators refuse, and two are 666, which traps.
fn events(count: u64, values: i64) -> Vec<(String, i64)> {
    let mut random = 11u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    let event = |at: u64| {
        let key = format!("k{}", next(KEYS));
        let value = match next(100) {
            _ if at == 700 || at == 1500 => 666,
            0 => -1 - next(50) as i64,
            _ => next(values as u64) as i64,
        };
        (key, value)
    };
    (0..count).map(event).collect()
}

fn job(operator: &str, limits: &str) -> String {
    format!(
        r#"
        name = "job"
        dead_letter_limit = "50%"
        [sources.events]
        connector = "file"
        path = "events.jsonl"
        format = "json"
        schema = {{ key = "text", value = "i64", at = "i64" }}
        event_time = {{ column = "at", unit = "s" }}

        [operators.kept]
        inputs = ["events"]
        key_by = ["key"]
        plugin = "plugins/kinds.wasm"
        operator = "{operator}"

        [sinks.out]
        inputs = ["kept"]
        connector = "file"
        path = "out"
        format = "json"
        {limits}
        "#
    )
}

fn write(folder: &Folder, events: &[(String, i64)]) {
    let line =
        |(at, (key, value)): (usize, &(String, i64))| json!({ "key": key, "value": value, "at": at }).to_string();
    folder.write("events.jsonl", events.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"));
}

/// The rows of the operator, by the event that they come from, with calls of several sizes.
fn rows(operator: &str, events: &[(String, i64)]) -> BTreeMap<u64, Value> {
    let folder = Folder::new();
    write(&folder, events);
    let run = |limits: &str, parallelism: &str| -> BTreeMap<u64, Value> {
        folder.remove("job.dead-letters.jsonl");
        let rows = folder.rows(&job(operator, limits), &["-p", parallelism]);
        let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap());
        rows.map(|row| (row["at"].as_u64().unwrap(), row)).collect()
    };
    let at_once = run("", "1");
    let bad = events.iter().filter(|(_, value)| *value < 0 || *value == 666).count();
    if operator != "first-seen" {
        assert_eq!(folder.dead_letters().len(), bad, "{operator}");
    }
    assert_eq!(run("[limits]\nbatch_rows_max = 7", "1"), at_once, "{operator}");
    assert_eq!(run("[limits.plugin]\nstate_read_entries_max = 3", "3"), at_once, "{operator}");
    assert_eq!(run("[limits.plugin]\nstate_read_bytes_max = 1", "1"), at_once, "{operator}");
    at_once
}

fn good(events: &[(String, i64)]) -> impl Iterator<Item = (u64, &str, i64)> {
    let numbered = events.iter().enumerate().map(|(at, (key, value))| (at as u64, key.as_str(), *value));
    numbered.filter(|(_, _, value)| *value >= 0 && *value != 666)
}

#[test]
fn reducing_and_aggregating() {
    let mut events = events(2_000, 1_000);
    events.retain(|(_, value)| *value != 666);
    let rows = rows("fold", &events);
    let mut values: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut seen = 0;
    for (at, key, value) in good(&events) {
        let values = values.entry(key).or_default();
        values.push(value);
        assert_eq!(rows[&at]["largest"], *values.iter().max().unwrap(), "{at}");
        assert_eq!(rows[&at]["mean"], values.iter().sum::<i64>() as f64 / values.len() as f64, "{at}");
        seen += 1;
    }
    assert_eq!(rows.len(), seen);
}

#[test]
fn maps() {
    let events = events(3_000, 150);
    let rows = rows("baskets", &events);
    let mut baskets: BTreeMap<&str, BTreeMap<i64, u64>> = BTreeMap::new();
    let mut seen = 0;
    for (at, key, value) in good(&events) {
        let basket = baskets.entry(key).or_default();
        *basket.entry(value).or_default() += 1;
        let row = &rows[&at];
        assert_eq!(row["times"], basket[&value], "{at}: {row}");
        assert_eq!(row["known"], basket.len(), "{at}: {row}");
        assert_eq!(row["smallest"], *basket.keys().next().unwrap(), "{at}: {row}");
        assert_eq!(row["largest"], *basket.keys().next_back().unwrap(), "{at}: {row}");
        if basket.len() == 100 {
            basket.clear();
        }
        seen += 1;
    }
    assert_eq!(rows.len(), seen);
}

#[test]
fn lists() {
    let events = events(3_000, 1_000_000);
    let rows = rows("recent", &events);
    let mut lists: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut full = 0;
    for (at, key, value) in good(&events) {
        let list = lists.entry(key).or_default();
        list.push(value);
        if list.len() == 50 {
            assert_eq!(rows[&at]["latest"], json!(list), "{at}");
            list.clear();
            full += 1;
        }
    }
    assert_eq!(rows.len(), full);
    assert!(full > 40);
}

/// A value passes again once an hour has gone by: the watermark follows each batch, here of one row.
#[test]
fn what_expires() {
    let folder = Folder::new();
    let mut events: Vec<(String, i64)> = Vec::new();
    for hour in 0..3 {
        events.extend((0..3_600).map(|second| (format!("k{}", second % 7), (hour + second / 7) % 97)));
    }
    write(&folder, &events);
    let rows = folder.rows(&job("first-seen", "[limits]\nbatch_rows_max = 1"), &["-p", "1"]);
    let passed: BTreeSet<u64> =
        rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap()["at"].as_u64().unwrap()).collect();
    let mut last: BTreeMap<(&str, i64), u64> = BTreeMap::new();
    for (at, (key, value)) in events.iter().enumerate() {
        let at = at as u64;
        // Before row `at` the watermark is just before the row before it: nothing earlier follows.
        let is_gone = |then: &u64| at.checked_sub(1).is_some_and(|now| then + 3_600 < now);
        let passes = last.get(&(key, *value)).is_none_or(is_gone);
        assert_eq!(passed.contains(&at), passes, "at {at}");
        if passes {
            last.insert((key, *value), at);
        }
    }
}

#[test]
fn a_call_that_writes_too_much_has_no_effect() {
    let folder = Folder::new();
    let events = events(500, 1_000_000);
    write(&folder, &events);
    let limits = "[limits.plugin]\nstate_write_bytes_max = 100";
    let rows = folder.rows(&job("recent", limits), &["-p", "1"]);
    // Calls are halved until they are small enough, and none of their rows is lost but those that are bad.
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    good(&events).for_each(|(_, key, _)| *counts.entry(key).or_default() += 1);
    assert_eq!(rows.len(), counts.values().map(|count| count / 50).sum::<usize>());
    let letters = folder.dead_letters();
    assert!(letters.iter().all(|letter| letter["event"]["value"].as_i64().unwrap() < 0), "{letters:?}");
}

/// Of one split, so that the order of a key's events is the same in each run. It would take six seconds: on a busy machine
/// the second checkpoint of a shorter one was its last.
const RECOVERING: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 50
    count = 60000
    rate = 10000
    splits = 1
    [operators.folded]
    inputs = ["events"]
    key_by = ["key"]
    plugin = "plugins/kinds.wasm"
    operator = "fold"
    [operators.counted]
    inputs = ["folded"]
    key_by = ["key"]
    plugin = "plugins/kinds.wasm"
    operator = "baskets"
    [operators.listed]
    inputs = ["counted"]
    key_by = ["key"]
    plugin = "plugins/kinds.wasm"
    operator = "recent"
"#,
    json_files!("out", r#"["listed"]"#),
    json_files!("counts", r#"["counted"]"#),
    no_restart!()
);

#[test]
fn lists_and_maps_come_back_from_checkpoints_into_other_numbers_of_slots() {
    let rows = |folder: &Folder| [folder.lines("out"), folder.lines("counts")].concat();
    let straight = Folder::new();
    let ran = straight.run(RECOVERING, FAST);
    assert!(ran.success, "{}", ran.stderr);
    let expected = rows(&straight);
    assert!(expected.len() > 60_000, "{}", expected.len());
    let incremental = RECOVERING.replace("interval = \"25ms\"", "interval = \"25ms\"\n    incremental = true");
    let whole = RECOVERING.replace("interval = \"25ms\"", "interval = \"25ms\"\n    incremental = false");
    for job in [incremental.clone(), on_rocksdb(&incremental), on_rocksdb(&whole)] {
        let folder = Folder::new();
        folder.write("job.toml", &job);
        die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=1"]);
        die_at(&folder, "decided.before_ack", 1, &["--set", "parallelism=4"]);
        // Either backend goes on from what the other has left, if that is in the form of both.
        if job == on_rocksdb(&whole) {
            folder.write("job.toml", &whole);
        }
        finish_fast(&folder, &["--set", "parallelism=2"]);
        let found = rows(&folder);
        assert!(found == expected, "{} rows, not {}: {job}", found.len(), expected.len());
    }
}

#[test]
fn lists_and_maps_of_a_checkpoint_can_be_read_without_the_job() {
    let job = RECOVERING.replace("count = 60000", "count = 3000").replace("25ms", "1h");
    // In the form of both backends, and in RocksDB's files.
    let read = [job.clone(), on_rocksdb(&job)].map(|job| {
        let folder = Folder::new();
        folder.write("job.toml", job);
        finish_fast(&folder, &[]);
        let say = |arguments: &[&str]| {
            let ran = folder.call(arguments);
            assert!(ran.success, "{}", ran.stderr);
            ran.stdout
        };
        let inspected = say(&["checkpoint", "inspect", "job.toml"]);
        for state in ["counts: map<i64, u64>", "values: list<i64>", "largest: i64"] {
            assert!(inspected.contains(state), "{inspected}");
        }
        let scan = |arguments: &[&str]| -> Vec<Value> {
            let text = say(&[&["state"], arguments, &["--json"]].concat());
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let counts = scan(&["scan", "job.toml", "counted", "counts"]);
        let key = counts[0]["key"]["key"].as_str().unwrap();
        let mut of_key: Vec<&Value> = counts.iter().filter(|entry| entry["key"]["key"] == key).collect();
        of_key.sort_by_key(|entry| entry["entry"].as_i64());
        assert!(scan(&["get", "job.toml", "counted", "counts", "--key", key]).iter().eq(of_key));
        let mut all = counts.clone();
        all.extend(scan(&["scan", "job.toml", "listed", "values"]));
        all.extend(scan(&["scan", "job.toml", "folded", "largest"]));
        let mut all: Vec<String> = all.iter().map(Value::to_string).collect();
        all.sort();
        all
    });
    assert!(read[0].len() > 1_000, "{}", read[0].len());
    assert!(read[0] == read[1], "{} entries, and {}", read[0].len(), read[1].len());
}

/// Events of four splits through operators without a key, which hold some of them back.
const HOLDING: &str = concat!(
    r#"
    name = "job"
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 50
    count = 40000
    rate = 20000
    splits = 4
    [operators.hold]
    inputs = ["events"]
    plugin = "plugins/kinds.wasm"
    operator = "hold"
"#,
    json_files!("out", r#"["hold"]"#),
    no_restart!()
);

/// Values of a thousand, each of which passes once in a slot.
const PASSING: &str = concat!(
    r#"
    name = "job"
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 50
    count = 8000
    rate = 2000
    splits = 4
    [operators.once]
    inputs = ["events"]
    plugin = "plugins/kinds.wasm"
    operator = "once"
"#,
    json_files!("out", r#"["once"]"#),
    no_restart!()
);

/// The values of each start of a job, from the names of its parts: `part-<job>.<sink>-<id>-<start>-<slot>-<number>.jsonl`.
fn values_by_start(folder: &Folder) -> BTreeMap<u64, Vec<i64>> {
    let mut values: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for part in std::fs::read_dir(folder.path().join("out")).unwrap() {
        let name = part.unwrap().file_name().into_string().unwrap();
        let start = name.split('-').nth_back(2).unwrap().parse().unwrap();
        let rows = folder.lines(&format!("out/{name}"));
        let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap()["value"].as_i64().unwrap());
        values.entry(start).or_default().extend(rows);
    }
    values
}

#[test]
fn every_slot_has_the_lists_of_all_when_the_job_goes_on() {
    for job in [PASSING.to_owned(), on_rocksdb(PASSING)] {
        let folder = Folder::new();
        folder.write("job.toml", &job);
        let slots = [3, 2, 4];
        let parallelism = slots.map(|slots| format!("parallelism={slots}"));
        die_at(&folder, "decided.before_ack", 3, &["--set", &parallelism[0]]);
        die_at(&folder, "decided.before_ack", 3, &["--set", &parallelism[1]]);
        finish_fast(&folder, &["--set", &parallelism[2]]);
        let found = values_by_start(&folder);
        assert!(found.len() > 1, "{job}");
        let mut passed = BTreeSet::new();
        for (start, values) in &found {
            let slots = slots[*start as usize - 1];
            // What had passed in any slot before passes in none, and otherwise at most once in each.
            let mut times: BTreeMap<i64, usize> = BTreeMap::new();
            values.iter().for_each(|value| *times.entry(*value).or_default() += 1);
            assert!(times.values().all(|times| *times <= slots), "start {start}: {job}");
            assert!(times.keys().all(|value| !passed.contains(value)), "start {start}: {job}");
            passed.extend(times.into_keys());
        }
        let held = folder.call(&["state", "scan", "job.toml", "once", "passed", "--json"]);
        assert!(held.success, "{}", held.stderr);
        let held =
            held.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].as_i64().unwrap());
        assert_eq!(held.collect::<BTreeSet<i64>>(), passed, "{job}");
    }
}

#[test]
fn lists_of_slots_are_dealt_out_to_other_numbers_of_slots() {
    // What came out, and what is still held.
    let values = |folder: &Folder, parallelism: u64| {
        let released = folder.lines("out");
        assert_eq!(released.len() % 10, 0);
        let held = folder.call(&["state", "scan", "job.toml", "hold", "held", "--json"]);
        assert!(held.success, "{}", held.stderr);
        let held: Vec<Value> = held.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(held.len() as u64 <= 9 * parallelism, "{held:?}");
        let released = released.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let all = released.chain(held).map(|row| row["value"].as_i64().unwrap());
        let mut all: Vec<i64> = all.collect();
        all.sort_unstable();
        all
    };
    let straight = Folder::new();
    straight.write("job.toml", HOLDING);
    finish_fast(&straight, &["--set", "parallelism=1"]);
    let expected = values(&straight, 1);
    assert_eq!(expected.len(), 40_000);
    for job in [HOLDING.to_owned(), on_rocksdb(HOLDING)] {
        let folder = Folder::new();
        folder.write("job.toml", &job);
        die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=1"]);
        die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=4"]);
        finish_fast(&folder, &["--set", "parallelism=2"]);
        assert!(values(&folder, 2) == expected, "{job}");
    }
}
