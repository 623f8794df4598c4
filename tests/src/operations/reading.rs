//! Checkpoints are read without their job: what is in them, and every value.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::Folder;
use crate::keyed_job::{FAST, finish_fast};

use super::{JOB, json, say, stopped};

#[test]
fn every_value_of_a_checkpoint_can_be_read_without_the_job() {
    let folder = Folder::new();
    stopped(&folder);
    folder.remove("plugins");
    let inspected = json(&folder, &["checkpoint", "inspect", "savepoint"]);
    assert_eq!((&inspected["kind"], &inspected["job"]), (&"savepoint".into(), &"job".into()));
    assert_eq!(inspected["nodes"][0]["splits"].as_array().unwrap().len(), 4);
    let count = inspected["nodes"].as_array().unwrap().iter().find(|node| node["uid"] == "count").unwrap();
    let text = say(&folder, &["checkpoint", "inspect", "job.toml"]);
    assert!(
        text.contains("process count") && text.contains("count: u64") && text.contains("split generator@"),
        "{text}"
    );

    let lines = |arguments: &[&str]| -> Vec<Value> {
        let text = say(&folder, &[&["state", "scan", "savepoint"], arguments, &["--json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let counts = lines(&["count", "count"]);
    assert_eq!(count["state"][0]["entries"], counts.len());
    let counts: BTreeMap<String, u64> = counts
        .iter()
        .map(|entry| (entry["key"]["key"].as_str().unwrap().to_owned(), entry["value"].as_u64().unwrap()))
        .collect();
    assert_eq!(lines(&["count", "count", "--limit", "1"]).len(), 1);

    // Each event is in the state of `count` and in one pane of `totals`.
    let totals = lines(&["totals", "windows"]);
    assert_eq!(totals.len(), counts.len());
    for entry in &totals {
        let count = counts[entry["key"]["key"].as_str().unwrap()];
        assert_eq!((&entry["value"]["counted"], &entry["value"]["counts"]["count"]), (&count.into(), &count.into()));
    }
    let panes = lines(&["windows", "windows"]);
    for entry in &panes {
        assert_eq!(entry["value"]["n"], entry["value"]["mean"]["count"]);
        assert!(entry["value"]["pane_start"].as_str() < entry["value"]["pane_end"].as_str());
    }

    let (key, count) = counts.first_key_value().unwrap();
    let get = |key: &str| folder.call(&["state", "get", "job.toml", "count", "count", "--key", key]);
    assert_eq!(get(key).stdout, format!("{{\"key\":\"{key}\"}}\t{count}\n"));
    assert_eq!(get(&format!("{{\"key\":\"{key}\"}}")).stdout, get(key).stdout);
    assert!(get("nobody").error().contains("no `count` for the key nobody"));
}

#[test]
fn mistakes_and_damage_are_named() {
    let folder = Folder::new();
    stopped(&folder);
    let error = |arguments: &[&str]| folder.call(arguments).error().to_owned();
    let message = error(&["state", "scan", "savepoint", "cuont", "count"]);
    assert!(message.contains("no node `cuont`") && message.contains("count"), "{message}");
    let message = error(&["state", "scan", "savepoint", "count", "cuont"]);
    assert!(message.contains("no state `cuont`: count"), "{message}");
    let message = error(&["state", "scan", "savepoint", "events", "position"]);
    assert!(message.contains("keeps no state by key"), "{message}");
    let message = error(&["state", "get", "savepoint", "count", "count", "--key", "{\"kee\":1}"]);
    assert!(message.contains("is no key of `count`"), "{message}");
    let message = error(&["checkpoint", "inspect", "job.toml", "--checkpoint", "77"]);
    assert!(message.contains("no checkpoint 77"), "{message}");

    let manifest = std::fs::read_to_string(folder.path().join("savepoint/manifest.json")).unwrap();
    let mut strange: Value = serde_json::from_str(&manifest).unwrap();
    let nodes = strange["nodes"].as_array_mut().unwrap();
    let count = nodes.iter_mut().find(|node| node["uid"] == "count").unwrap();
    let file = count["slots"][0]["files"][0]["path"].as_str().unwrap().to_owned();
    count["key"][0]["type"] = "u32".into();
    folder.write("savepoint/manifest.json", strange.to_string());
    let message = error(&["state", "scan", "savepoint", "count", "count"]);
    for part in ["an entry of `count`", "is not what the manifest says", "count.0.state`, key group "] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    folder.write("savepoint/manifest.json", &manifest);

    let file = folder.path().join("savepoint").join(file);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let message = error(&["state", "scan", "savepoint", "count", "count"]);
    assert!(message.contains("count.0.state` is broken: the checksum at byte"), "{message}");
    folder.write("savepoint/manifest.json", manifest.replacen("\"format\": 1", "\"format\": 9", 1));
    for command in [&["checkpoint", "inspect", "savepoint"][..], &["run", "job.toml", "--from", "savepoint"]] {
        let message = error(command);
        assert!(message.contains("of format 9") && message.contains("savepoint/manifest.json"), "{message}");
    }
}

#[test]
fn the_checkpoints_of_a_job_are_listed() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    assert_eq!(say(&folder, &["checkpoint", "list", "job.toml"]), "");
    let none = folder.call(&["checkpoint", "inspect", "job.toml"]);
    assert!(none.error().contains("has no checkpoint yet"), "{}", none.stderr);
    assert!(!folder.path().join("job.checkpoints").exists(), "nothing is made by asking");
    finish_fast(&folder, &[]);
    let listed = say(&folder, &[&["checkpoint", "list", "job.toml"], FAST].concat());
    assert!(listed.starts_with("*      1  checkpoint") && listed.contains("finished"), "{listed}");
    let inspected = json(&folder, &["checkpoint", "inspect", "job.toml"]);
    assert_eq!(inspected["nodes"][0]["splits"][0]["position"], Value::Null);
}
