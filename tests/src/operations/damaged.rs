//! Checkpoints that are damaged, or written by another program: what stands in nobody's way, and what ends the job.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::Folder;
use crate::keyed_job::{FAST, finish_fast, on_rocksdb};

use super::{JOB, Running, json, makes_checkpoints, say, straight};

const PLACE: &str = "job.checkpoints/job";

/// A job that was stopped with a checkpoint. With a savepoint (1), there is another one (2) before the last (3).
fn stopped(folder: &Folder, job: &str, with_savepoint: bool) {
    folder.write("job.toml", job);
    let running = Running::start(folder, &[], None);
    running.makes_rows(folder, &[]);
    if with_savepoint {
        say(folder, &["savepoint", "job.toml"]);
        makes_checkpoints(folder, 2);
    }
    say(folder, &["stop", "job.toml"]);
    assert!(running.end().success());
}

/// Makes the last checkpoint one of a newer program: its manifest, and the decision on it.
fn make_newer(folder: &Folder, checkpoint: &str) {
    let path = folder.path().join(PLACE).join(checkpoint).join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap().replacen("\"format\": 1", "\"format\": 9", 1);
    let decisions = fs::read_dir(folder.path().join(PLACE).join("decisions")).unwrap();
    let last = decisions.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut decision: Value = serde_json::from_slice(&fs::read(&last).unwrap()).unwrap();
    let digest = &mut decision["decision"]["complete"]["manifest"]["sha256"];
    assert!(digest.is_string(), "{digest}");
    *digest = format!("{:x}", Sha256::digest(&manifest)).into();
    fs::write(last, decision.to_string()).unwrap();
    fs::write(path, manifest).unwrap();
}

/// The files below a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| if path.is_dir() { files(&path, end) } else { vec![path] });
    below.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

/// One bit of what the file holds, and not of its index.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[20] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_manifest_that_cannot_be_read_stands_in_nobodys_way() {
    let expected = straight();
    let folder = Folder::new();
    stopped(&folder, JOB, true);
    let left = format!("{PLACE}/checkpoints/1-2");
    folder.write(&format!("{left}/manifest.json"), "{\"format\": 9}");
    folder.write(&format!("{left}/newer.0.state"), "of a newer program");

    let listed = say(&folder, &["checkpoint", "list", "job.toml"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("       1  savepoint") && lines[2].starts_with("*      3  checkpoint"), "{listed}");
    assert!(lines[1].starts_with("       2  cannot be read: ") && lines[1].contains("of format 9"), "{listed}");
    let entry = &json(&folder, &["checkpoint", "list", "job.toml"])[1];
    assert_eq!((&entry["checkpoint"], &entry["is_last"]), (&2.into(), &false.into()));
    assert!(entry["unreadable"].as_str().unwrap().contains("of format 9"), "{entry}");
    let inspect = ["checkpoint", "inspect", "job.toml", "--checkpoint"];
    assert_eq!(json(&folder, &[&inspect[..], &["1"]].concat())["kind"], "savepoint");
    let message = folder.call(&[&inspect[..], &["2"]].concat());
    assert!(message.error().contains("of format 9"), "{}", message.stderr);

    let starts = |arguments: &[&str]| {
        let log = finish_fast(&folder, arguments);
        assert!(log.contains("WARN the manifest") && log.contains("of format 9"), "{arguments:?}: {log}");
        assert_eq!(folder.lines(&format!("{left}/newer.0.state")), ["of a newer program"], "{arguments:?}");
        log
    };
    assert!(starts(&[]).contains("going on from checkpoint 3"));
    assert_eq!(folder.lines("out"), expected);
    let from = format!("{PLACE}/savepoints/1-1");
    assert!(starts(&["--from", &from, "--set", "sinks.out.path=\"again\""]).contains("going on from savepoint 1"));
    folder.remove("out");
    assert!(!starts(&["--fresh"]).contains("going on"));
    assert_eq!(folder.lines("out"), expected);
}

#[test]
fn a_last_checkpoint_of_a_newer_program_stops_the_start_which_names_the_others() {
    let expected = straight();
    let folder = Folder::new();
    stopped(&folder, &JOB.replace("[checkpoints]", "[checkpoints]\n    retained = 2"), true);
    make_newer(&folder, "checkpoints/1-3");
    let refused = folder.call(&["run", "job.toml"]);
    let error = refused.error();
    for part in ["checkpoints/1-3/manifest.json` is of format 9", "--from", "  checkpoint 2 of ", "  savepoint 1 of "] {
        assert!(error.contains(part), "`{part}` is missing in: {error}");
    }
    assert!(!error.contains("checkpoint 3 of"), "{error}");
    let listed = say(&folder, &["checkpoint", "list", "job.toml"]);
    assert!(listed.contains("*      3  cannot be read"), "{listed}");
    let older = error.lines().find_map(|line| line.strip_prefix("  checkpoint 2 of ")).unwrap();
    let older = older.split_once(": ").unwrap().1;
    assert!(finish_fast(&folder, &["--from", older]).contains("going on from checkpoint 2"));
    let mut rows = folder.lines("out");
    rows.dedup();
    assert_eq!(rows, expected, "what was shown since then is shown again, and nothing is missing");

    let folder = Folder::new();
    stopped(&folder, JOB, false);
    make_newer(&folder, "checkpoints/1-1");
    let refused = folder.call(&["run", "job.toml"]);
    let error = refused.error();
    assert!(error.contains("no other checkpoint or savepoint") && error.contains("retained = 1"), "{error}");
}

const RESTARTS: &str = "[restart]\nstrategy = \"fixed-delay\"\ndelay = \"1ms\"\n";

#[test]
fn a_damaged_file_of_state_ends_the_job_before_it_shows_anything() {
    for (backend, end, what) in [
        (JOB.to_owned(), "count.0.state", "count.0.state` is broken: the checksum at byte"),
        (on_rocksdb(JOB), ".sst", "is damaged"),
    ] {
        let folder = Folder::new();
        stopped(&folder, &format!("{backend}\n{RESTARTS}"), false);
        let mut files = files(&folder.path().join(PLACE).join("checkpoints/1-1"), end);
        files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("count."));
        assert!(!files.is_empty(), "there is no {end}");
        files.iter().for_each(|file| flip(file));
        let shown = folder.lines("out");
        let ran = folder.call(&[&["run", "job.toml"], FAST].concat());
        let error = ran.error();
        // A checkpoint's file is called as RocksDB calls it, behind the operator and the slot.
        let names = files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned());
        let mut names = names.map(|name| (format!("/{}", name.splitn(3, '.').nth(2).unwrap()), name));
        let names_one = names.any(|(working, name)| error.contains(&working) || error.contains(&name));
        assert!(error.contains(what) && error.contains("`count`") && names_one, "{error}");
        assert!(error.contains("no other checkpoint or savepoint"), "{error}");
        assert!(!ran.stderr.contains("starts again"), "{}", ran.stderr);
        assert_eq!(folder.lines("out"), shown);
    }
}

#[test]
fn a_job_that_finds_its_checkpoint_damaged_when_it_starts_again_ends() {
    let folder = Folder::new();
    folder.write("job.toml", format!("{JOB}\n{RESTARTS}"));
    let running = Running::start(&folder, &[], Some("barrier.last_slot:3:panic"));
    say(&folder, &["savepoint", "job.toml"]);
    makes_checkpoints(&folder, 2);
    let shown = folder.lines("out");
    let files = files(&folder.path().join(PLACE).join("checkpoints/1-2"), "count.0.state");
    let [file] = &files[..] else { panic!("{files:?}") };
    flip(file);
    let failed = folder.call(&["savepoint", "job.toml"]);
    assert!(failed.error().contains("before the savepoint was complete"), "{}", failed.stderr);
    running.until("(restart 1)");
    let error = running.until("savepoint 1 of ");
    assert!(error.contains("checkpoints/1-2/count.0.state` is broken"), "{error}");
    assert!(!error.contains("(restart 2)"), "{error}");
    assert!(!running.end().success());
    assert_eq!(folder.lines("out"), shown);
}
