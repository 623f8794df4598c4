//! Starts from savepoints: moved, with other slots, with another job; and what `wasmill plan` says before.

use crate::harness::Folder;
use crate::keyed_job::{FAST, finish_fast};

use super::{JOB, json, say, stopped, straight};

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
