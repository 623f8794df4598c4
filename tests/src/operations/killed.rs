//! Savepoints while hosts die: on the way to one, in a start from one before it has decided anything, beside a fork.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use wasmill::model::fail_point::FAIL_POINTS;

use super::{Running, json, makes_rows, say};
use crate::harness::Folder;
use crate::keyed_job::{
    FAST, counted, die_at, finish_fast, go_on, json_files, keyed_events, no_restart, out_of_order, stopped_at, totals,
};

/// Each event has the same number among those of its key in every run: there is one split.
const JOB: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 20
    count = 80000
    rate = 4000
    per_milli = 1
    splits = 1
"#,
    out_of_order!(),
    counted!(),
    totals!(),
    json_files!("out", r#"["count"]"#),
    json_files!("sums", r#"["totals"]"#),
    no_restart!()
);

/// What is visible below a folder.
fn rows(folder: &Folder, below: &str) -> Vec<String> {
    [folder.lines(&format!("{below}/out")), folder.lines(&format!("{below}/sums"))].concat()
}

/// The rows of a run to which nothing happens.
fn straight() -> &'static [String] {
    static ROWS: OnceLock<Vec<String>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let folder = Folder::new();
        let ran = folder.run(&without_checkpoints(), FAST);
        assert!(ran.success, "{}", ran.stderr);
        let rows = rows(&folder, ".");
        assert_eq!(rows.len(), 80_000 + 20);
        rows
    })
}

/// With those that are asked for, and the last one.
fn without_checkpoints() -> String {
    JOB.replace("\"25ms\"", "\"1h\"")
}

/// Those of them that a savepoint does not cover.
fn behind(folder: &Folder, savepoint: &str) -> Vec<String> {
    let scanned = say(folder, &["state", "scan", savepoint, "count", "count", "--json"]);
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let counts = scanned.lines().map(parse);
    let covered: BTreeMap<String, u64> =
        counts.map(|entry| (entry["key"]["key"].to_string(), entry["value"].as_u64().unwrap())).collect();
    assert!(!covered.is_empty());
    // Sums come at the end.
    let is_behind = |row: &&String| {
        let row = parse(row);
        row["count"].as_u64().is_none_or(|count| count > covered.get(&row["key"].to_string()).copied().unwrap_or(0))
    };
    straight().iter().filter(is_behind).cloned().collect()
}

/// A host that dies at this place of a stop with a savepoint.
fn stop_that_dies_at(place: &str) -> Folder {
    let folder = Folder::new();
    folder.write("job.toml", without_checkpoints());
    let running = Running::start(&folder, &[], Some(&format!("{place}:1")));
    makes_rows(&folder, &[]);
    let lost = folder.call(&["stop", "job.toml", "--savepoint"]);
    assert!(lost.error().contains("without an answer"), "`{place}`: {}", lost.stderr);
    assert_eq!(running.end().signal(), Some(6), "`{place}`");
    folder
}

#[test]
fn wherever_a_stop_dies_the_same_commands_go_on() {
    let on_its_way = FAIL_POINTS.into_iter().skip_while(|place| *place != "barrier.first_slot");
    // A savepoint replaces nothing.
    for place in on_its_way.filter(|place| *place != "gc.middle") {
        let folder = stop_that_dies_at(place);
        let running = Running::start(&folder, &[], None);
        let is_decided = place.starts_with("decided.");
        running.until(if is_decided { "going on from savepoint" } else { "was to be stopped with a savepoint" });
        makes_rows(&folder, &[]);
        say(&folder, &["stop", "job.toml", "--savepoint"]);
        assert!(running.end().success());
        let log = finish_fast(&folder, &[]);
        assert!(log.contains("going on from savepoint") && !log.contains("was to be stopped"), "`{place}`: {log}");
        let rows = rows(&folder, ".");
        assert!(rows == straight(), "`{place}`: {} rows, not {}", rows.len(), straight().len());
    }
}

#[test]
fn a_chosen_folder_in_which_hosts_have_died_is_written_again() {
    let folder = Folder::new();
    folder.write("job.toml", without_checkpoints());
    for place in ["upload.middle", "manifest.before"] {
        let running = Running::start(&folder, &[], Some(&format!("{place}:1")));
        makes_rows(&folder, &[]);
        let lost = folder.call(&["stop", "job.toml", "--savepoint", "mine"]);
        assert!(lost.error().contains("without an answer"), "`{place}`: {}", lost.stderr);
        assert_eq!(running.end().signal(), Some(6), "`{place}`");
    }
    let folders = || fs::read_dir(folder.path().join("mine")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(folders().count(), 2, "each host has left its own");

    let running = Running::start(&folder, &[], None);
    makes_rows(&folder, &[]);
    folder.write("mine/note.txt", "x");
    let refused = folder.call(&["savepoint", "job.toml", "--to", "mine"]);
    assert!(refused.error().contains("not empty") && refused.stderr.contains("mine/note.txt"), "{}", refused.stderr);
    folder.remove("mine/note.txt");
    say(&folder, &["savepoint", "job.toml", "--to", "mine"]);
    let refused = folder.call(&["stop", "job.toml", "--savepoint", "mine"]);
    assert!(refused.stderr.contains("mine/manifest.json"), "a complete one is nobody's to replace: {}", refused.stderr);
    // Hidden ones never became files.
    let is_shown = |entry: io::Result<DirEntry>| !entry.unwrap().file_name().as_encoded_bytes().starts_with(b".");
    let holds_files = |path: &PathBuf| path.is_dir() && path.read_dir().unwrap().any(is_shown);
    assert_eq!(folders().filter(holds_files).count(), 1, "what dead hosts have left is gone");
    say(&folder, &["stop", "job.toml", "--savepoint", "last"]);
    assert!(running.end().success());

    // It is whole, wherever it is.
    let moved = Folder::new();
    moved.write("job.toml", without_checkpoints());
    folder.copy_to(moved.path(), &["mine"]);
    let log = finish_fast(&moved, &["--from", "mine"]);
    assert!(log.contains("going on from savepoint"), "{log}");
    assert!(rows(&moved, ".") == behind(&moved, "mine"));
}

#[test]
fn a_savepoint_that_was_not_decided_on_is_whole_for_whoever_asks_for_it() {
    for place in ["manifest.put_unknown", "manifest.after"] {
        let folder = stop_that_dies_at(place);
        let log = finish_fast(&folder, &["--from", "job.checkpoints/job/savepoints/1-1"]);
        assert!(log.contains("going on from savepoint") && !log.contains("was to be stopped"), "{log}");
        assert!(rows(&folder, ".") == straight(), "`{place}`");
    }
    // What is prepared for it is not another job's to publish.
    let (folder, fork) = (stop_that_dies_at("manifest.after"), Folder::new());
    let savepoint = folder.path().join("job.checkpoints/job/savepoints/1-1").display().to_string();
    let prepared = files(&folder);
    fork.write("job.toml", JOB.replace("name = \"job\"", "name = \"fork\""));
    for command in ["run", "plan"] {
        let refused = fork.call(&[command, "job.toml", "--from", &savepoint]);
        assert!(!refused.success && refused.stderr.contains("before it was decided on"), "{}", refused.stderr);
    }
    assert_eq!(files(&folder), prepared);
    // The job itself starts again, and makes it anew.
    let running = Running::start(&folder, &[], None);
    let decided = say(&folder, &["stop", "job.toml", "--savepoint"]);
    assert!(running.end().success());
    let again = Folder::new();
    again.write("job.toml", JOB.replace("name = \"job\"", "name = \"fork\""));
    assert!(finish_fast(&again, &["--from", &decided]).contains("going on from savepoint"));
}

/// What stands in the sinks' folders, hidden or not.
fn files(folder: &Folder) -> Vec<PathBuf> {
    let names = |sink: &str| fs::read_dir(folder.path().join(sink)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = names("out").chain(names("sums")).collect();
    files.sort();
    files
}

/// One that was asleep since its claim sweeps what earlier starts have left, and nothing of its successor's.
#[test]
fn a_host_that_wakes_at_its_start_harms_nothing_that_its_successor_has_written() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    die_at(&folder, "decided.before_ack", 3, &[]);
    let sleeper = stopped_at(&folder, "claim.after", 1);
    // It has decided, and not yet published.
    die_at(&folder, "decided.before_follow", 3, &[]);
    let sleeper = go_on(sleeper);
    assert!(sleeper.error().contains("another host has taken over the job `job`"), "{}", sleeper.stderr);
    finish_fast(&folder, &[]);
    assert!(rows(&folder, ".") == straight());
}

#[test]
fn a_start_from_nothing_that_is_refused_has_changed_nothing() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    die_at(&folder, "decided.before_ack", 3, &[]);
    let refused = folder.call(&["run", "job.toml", "--fresh"]);
    assert!(refused.error().contains("is there from an earlier run"), "{}", refused.stderr);
    assert!(finish_fast(&folder, &[]).contains("going on from checkpoint"));
    assert!(rows(&folder, ".") == straight());
}

#[test]
fn an_older_savepoint_is_gone_on_from_once_however_often_that_dies() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], None);
    makes_rows(&folder, &[]);
    let savepoint = say(&folder, &["stop", "job.toml", "--savepoint"]);
    assert!(running.end().success());
    let expected = behind(&folder, &savepoint);
    // The job has decided on others since.
    die_at(&folder, "decided.before_ack", 2, &[]);
    let shown = rows(&folder, ".");
    assert!(shown.len() + expected.len() > straight().len());

    let elsewhere = |name: &str| ["out", "sums"].map(|sink| format!("sinks.{sink}.path=\"{name}/{sink}\""));
    for place in FAIL_POINTS.into_iter().take_while(|place| *place != "decided.before_follow") {
        let [out, sums] = elsewhere(place);
        let arguments = ["--from", &savepoint, "--set", &out, "--set", &sums];
        die_at(&folder, place, 1, &arguments);
        finish_fast(&folder, &arguments);
        let rows = rows(&folder, place);
        assert!(rows == expected, "`{place}`: {} rows, not {}", rows.len(), expected.len());
    }
    // Once it has claimed the job it need not be said again.
    let [out, sums] = elsewhere("claimed");
    let sets = ["--set", &out, "--set", &sums];
    die_at(&folder, "manifest.after", 1, &[&["--from", &savepoint], &sets[..]].concat());
    assert!(finish_fast(&folder, &sets).contains("going on from savepoint"));
    assert!(rows(&folder, "claimed") == expected);
    assert!(rows(&folder, ".") == shown, "what was shown before is as it was");
}

#[test]
fn a_fork_and_its_living_parent_do_not_disturb_each_other() {
    let [parent, fork] = [Folder::new(), Folder::new()];
    parent.write("job.toml", JOB);
    // Their checkpoints are in one place.
    let checkpoints = format!("[checkpoints]\n    url = \"{}\"", parent.path().join("job.checkpoints").display());
    let forked = JOB.replace("name = \"job\"", "name = \"fork\"").replace("[checkpoints]", &checkpoints);
    fork.write("job.toml", forked);
    let living = Running::start(&parent, &[], None);
    makes_rows(&parent, &[]);
    let savepoint = say(&parent, &["savepoint", "job.toml"]);
    let expected = behind(&parent, &savepoint);
    die_at(&fork, "decided.before_ack", 1, &["--from", &savepoint]);
    die_at(&fork, "upload.middle", 2, &[]);
    assert_eq!(json(&parent, &["status", "job.toml"])["state"], "running");

    let running = Running::start(&fork, &[], None);
    // `kill -9`
    drop(living);
    finish_fast(&parent, &[]);
    assert!(rows(&parent, ".") == straight());
    say(&fork, &["stop", "job.toml"]);
    assert!(running.end().success());
    finish_fast(&fork, &[]);
    let rows = rows(&fork, ".");
    assert!(rows == expected, "{} rows, not {}", rows.len(), expected.len());
    assert!(Path::new(&savepoint).join("manifest.json").exists());
}
