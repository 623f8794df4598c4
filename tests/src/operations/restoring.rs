//! Starts from savepoints: moved, with other slots, with another job; and what `wasmill plan` says before.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use serde_json::Value;

use crate::harness::Folder;
use crate::keyed_job::{FAST, finish_fast};

use super::{JOB, Running, json, say, stopped, straight};

#[test]
fn a_savepoint_is_moved_and_gone_on_from_with_any_number_of_slots() {
    let expected = straight();
    for slots in ["parallelism=1", "parallelism=3"] {
        let folder = Folder::new();
        stopped(&folder);
        std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
        std::fs::rename(folder.path().join("savepoint"), folder.path().join("elsewhere/moved")).unwrap();
        let lost = folder.call(&["run", "job.toml"]);
        assert!(lost.error().contains("is gone") && lost.stderr.contains("--from"), "{}", lost.stderr);
        // All that is left of the job is the savepoint, and what its sink has shown.
        folder.remove("job.checkpoints");
        let log = finish_fast(&folder, &["--from", "elsewhere/moved", "--set", slots]);
        assert!(log.contains("going on from savepoint"), "{log}");
        assert_eq!(folder.lines("out"), expected);
    }
}

#[test]
fn from_nothing_only_where_nothing_is_lost() {
    let folder = Folder::new();
    stopped(&folder);
    finish_fast(&folder, &[]);
    let refused = folder.call(&[&["run", "job.toml", "--fresh"], FAST].concat());
    assert!(refused.error().contains("is there from an earlier run"), "{}", refused.stderr);
    folder.remove("out");
    let log = finish_fast(&folder, &["--fresh"]);
    assert!(!log.contains("going on") && !log.contains("WARN"), "{log}");
    assert_eq!(folder.lines("out"), straight());
}

#[test]
fn plan_says_what_becomes_of_each_state() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    assert!(say(&folder, &["plan", "job.toml"]).contains("starts from nothing"));
    assert!(!folder.path().join("job.checkpoints").exists(), "nothing is made by asking");
    stopped(&folder);
    let text = say(&folder, &["plan", "job.toml"]);
    for part in ["`events`: position goes on", "`count`: state `count` goes on", "`windows`: windows goes on"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }

    // A source more, a source less, an operator by another name, a key of another column.
    let changed = JOB.replace("[sources.events]", "[sources.others]").replace("[\"events\"]", "[\"others\"]");
    folder.write(
        "sources.toml",
        changed.replace("[operators.totals]", "[operators.sums]").replace("\"totals\"", "\"sums\""),
    );
    let plan = folder.call(&["plan", "sources.toml", "--from", "savepoint"]);
    assert!(!plan.success, "{}", plan.stdout);
    for part in [
        "`others`: position is new",
        "`events`: position is dropped",
        "`sums`: windows is new",
        "`totals`: windows is dropped",
        "`count`: state `count` goes on",
    ] {
        assert!(plan.stdout.contains(part), "`{part}` is missing in: {}", plan.stdout);
    }
    let allowed = &["plan", "sources.toml", "--from", "savepoint", "--allow-non-restored-state"];
    assert_eq!(json(&folder, allowed)["is_refused"], false);

    folder.write("key.toml", JOB.replacen("key_by = [\"key\"]\n    window", "key_by = [\"value\"]\n    window", 1));
    let ran = folder.call(&["plan", "key.toml", "--from", "savepoint", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(!ran.success && plan["is_refused"] == true, "{plan}");
    let findings = plan["findings"].as_array().unwrap();
    let windows = findings.iter().find(|finding| finding["operator"] == "windows").unwrap();
    let why = windows["verdict"]["incompatible"].as_str().unwrap();
    assert!(why.contains("key: text") && why.contains("value: i64"), "{why}");
    let refused = folder.call(&["run", "key.toml", "--from", "savepoint"]);
    assert!(refused.error().contains(why), "{}", refused.stderr);
}

#[test]
fn plan_says_where_kafka_may_know_of_a_newer_checkpoint() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    assert!(!say(&folder, &["plan", "job.toml"]).contains("Kafka"));
    // `plan` asks no broker, so there need not be one.
    let sink = r#"
    [sinks.numbers]
    inputs = ["count"]
    connector = "kafka"
    brokers = "127.0.0.1:9"
    topic = "numbers"
    format = "json"
    delivery = "exactly-once"
    "#;
    folder.write("job.toml", JOB.replace("interval = \"1h\"", "interval = \"1m\"") + sink);
    let text = say(&folder, &["plan", "job.toml"]);
    assert!(text.contains("starts from nothing") && text.contains("may be one checkpoint newer"), "{text}");
}

#[test]
fn checkpoints_whose_decisions_are_lost_are_not_swept() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], None);
    running.makes_rows(&folder, &[]);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    folder.remove("job.checkpoints/job/decisions");
    let left = "job.checkpoints/job/checkpoints/1-1";
    for command in [&["plan", "job.toml"][..], &["run", "job.toml"]] {
        let refused = folder.call(command);
        for part in ["nothing says which of them counts", left, "--from", "--fresh"] {
            assert!(refused.error().contains(part), "`{part}` is missing in: {}", refused.stderr);
        }
    }
    finish_fast(&folder, &["--from", left]);
    assert_eq!(folder.lines("out"), straight());
}

#[test]
fn what_was_decided_on_and_not_published_is_not_lost_with_its_sink() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], Some("decided.before_follow:1"));
    running.makes_rows(&folder, &[]);
    let lost = folder.call(&["stop", "job.toml"]);
    assert!(lost.error().contains("without an answer"), "{}", lost.stderr);
    assert_eq!(running.end().signal(), Some(6));

    let renamed = JOB.replace("[sinks.out]", "[sinks.renamed]");
    let file = "connector = \"file\"\n    path = \"out\"\n    format = \"json\"";
    let retyped = JOB.replace(file, "connector = \"blackhole\"");
    assert!(retyped.contains("blackhole"));
    for job in [&renamed, &retyped] {
        folder.write("changed.toml", job);
        let plan = folder.call(&["plan", "changed.toml"]);
        let finding = "`out`: its last output, decided on and not published yet (";
        assert!(!plan.success && plan.stdout.contains(finding), "{}", plan.stdout);
        let refused = folder.call(&["run", "changed.toml"]);
        assert!(refused.error().contains(finding), "{}", refused.stderr);
        assert!(refused.stderr.contains("--allow-non-restored-state"), "{}", refused.stderr);
    }
    let allowed = &["plan", "changed.toml", "--allow-non-restored-state"];
    assert_eq!(json(&folder, allowed)["is_refused"], false);

    // The job as it was publishes it; then its sink may go.
    let running = Running::start(&folder, &[], None);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    folder.write("job.toml", renamed);
    let plan = say(&folder, &["plan", "job.toml"]);
    assert!(!plan.contains("last output"), "{plan}");
    finish_fast(&folder, &[]);
    assert_eq!(folder.lines("out"), straight());
}

#[test]
fn an_operator_more_and_one_less() {
    let folder = Folder::new();
    stopped(&folder);
    let counted: BTreeMap<String, u64> = say(&folder, &["state", "scan", "savepoint", "count", "count", "--json"])
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|entry| (entry["key"]["key"].as_str().unwrap().to_owned(), entry["value"].as_u64().unwrap()))
        .collect();
    assert!(!counted.is_empty());
    folder.write("job.toml", JOB.replace("[operators.totals]", "[operators.sums]").replace("\"totals\"", "\"sums\""));
    let refused = folder.call(&["run", "job.toml", "--from", "savepoint"]);
    assert!(refused.error().contains("`totals`: windows is dropped"), "{}", refused.stderr);
    let log = finish_fast(&folder, &["--from", "savepoint", "--allow-non-restored-state"]);
    assert!(log.contains("going on from savepoint"), "{log}");

    // What goes on goes on: the numbers of each key, and the windows. What is new has seen only what came since.
    let rows = |rows: Vec<String>| rows.into_iter().map(|row| serde_json::from_str::<Value>(&row).unwrap());
    let (expected, windows): (Vec<Value>, Vec<Value>) = rows(straight()).partition(|row| row.get("counts").is_some());
    let (found, found_windows): (Vec<Value>, Vec<Value>) =
        rows(folder.lines("out")).partition(|row| row.get("counts").is_some());
    assert_eq!(found_windows, windows);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((&found["key"], &found["counted"]), (&expected["key"], &expected["counted"]));
        let before = counted.get(expected["key"].as_str().unwrap()).copied().unwrap_or(0);
        let (counts, all) = (found["counts"].as_u64().unwrap(), expected["counts"].as_u64().unwrap());
        assert_eq!(counts, all - before * (before + 1) / 2, "{found}");
    }
}

#[test]
fn followed_files_are_read_as_long_as_the_path_means_them() {
    let folder = Folder::new();
    let job = |path: &str| {
        format!(
            r#"
            name = "job"
            [checkpoints]
            interval = "1h"
            [sources.lines]
            connector = "file"
            path = "{path}"
            format = "raw"
            follow = true
            [sinks.out]
            inputs = ["lines"]
            connector = "file"
            path = "out"
            "#
        )
    };
    folder.write("job.toml", job("logs/*.log"));
    folder.write("logs/a.log", "a 1\n");
    folder.write("logs/b.log", "b 1\n");
    let running = Running::start(&folder, &[], None);
    running.gets_rows(&folder, 2, &[]);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    folder.write("logs/a.log", "a 1\na 2\n");
    folder.write("logs/b.log", "b 1\nb 2\n");
    folder.write("logs/ab.log", "ab 1\n");

    // What `plan` says is what `run` does.
    let once = job("logs/a*.log").replace("follow = true", "");
    for (job, why) in [
        (job("logs/a*.log"), "position in `logs/b.log` is dropped"),
        (once, "it read files of lines that it followed (`follow`), and reads files of lines as they were"),
    ] {
        folder.write("job.toml", job);
        let plan = folder.call(&["plan", "job.toml"]);
        assert!(!plan.success && plan.stdout.contains(why), "{}{}", plan.stdout, plan.stderr);
        let refused = folder.call(&["run", "job.toml"]);
        assert!(refused.error().contains(why), "{}", refused.stderr);
    }
    // However the path calls them.
    folder.write("job.toml", job(&folder.path().join("logs/a*.log").to_string_lossy()));
    let running = Running::start(&folder, &["--allow-non-restored-state"], None);
    running.gets_rows(&folder, 2, &[]);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    let lines: Vec<String> = ["a 1", "a 2", "ab 1", "b 1"].map(|line| format!("{{\"line\":\"{line}\"}}")).into();
    assert_eq!(folder.lines("out"), lines);
}
