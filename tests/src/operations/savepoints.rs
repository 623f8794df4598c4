//! Savepoints of a running job, its status, its end.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::harness::Folder;
use crate::keyed_job::finish_fast;

use super::{JOB, Running, json, makes_checkpoints, say, stopped, straight};

#[test]
fn a_running_job_makes_savepoints_and_stops_as_asked_without_losing_anything() {
    let expected = straight();
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], None);
    let first = say(&folder, &["savepoint", "job.toml"]);
    assert!(first.ends_with("/job.checkpoints/job/savepoints/1-1"), "{first}");
    let second = say(&folder, &["savepoint", "job.toml", "--to", "mine"]);
    assert_eq!(std::path::Path::new(&second), folder.path().canonicalize().unwrap().join("mine"));
    // A checkpoint follows each at once, so that the job does not depend on what is the user's.
    let status = json(&folder, &["status", "job.toml"]);
    let completed = &status["checkpoints"]["completed_checkpoints"];
    assert!(completed.as_u64().unwrap() >= 3, "{status}");
    assert_eq!((&status["job"], &status["state"]), (&"job".into(), &"running".into()));
    assert_eq!(status["nodes"][0]["uid"], "events");
    assert!(say(&folder, &["status", "job.toml"]).contains("complete"));

    let stopped = folder.call(&["stop", "job.toml"]);
    assert!(stopped.success && stopped.stderr.contains("stopped with checkpoint"), "{}", stopped.stderr);
    assert!(running.end().success());
    let listed = json(&folder, &["checkpoint", "list", "job.toml"]);
    let kinds: Vec<&str> = listed.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["savepoint", "checkpoint"], "{listed}");
    assert_eq!(listed[1]["is_last"], true);

    let log = finish_fast(&folder, &[]);
    assert!(log.contains("INFO going on from checkpoint"), "{log}");
    assert_eq!(folder.lines("out"), expected);
    let log = finish_fast(&folder, &[]);
    assert!(log.contains("the job had finished with checkpoint") && log.contains("--fresh"), "{log}");
    assert_eq!(folder.lines("out"), expected);
    assert!(std::path::Path::new(&second).join("manifest.json").exists(), "savepoints are never deleted");
}

#[test]
fn a_drained_job_has_fired_every_window_and_is_not_gone_on_from() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], None);
    let path = say(&folder, &["stop", "job.toml", "--savepoint", "--drain"]);
    assert!(running.end().success());
    let scanned = say(&folder, &["state", "scan", &path, "count", "count"]);
    let counted: u64 = scanned.lines().map(|line| line.split('\t').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    let totals = folder.lines("out").iter().filter(|row| row.contains("\"counts\"")).count();
    assert!(counted > 0 && totals == scanned.lines().count(), "{totals} totals of {counted} events");
    assert_eq!(say(&folder, &["state", "scan", &path, "windows", "windows"]), "");

    assert!(finish_fast(&folder, &[]).contains("had finished with savepoint"));
    let refused = folder.call(&["run", "job.toml", "--from", &path]);
    assert!(refused.error().contains("nothing can go on from it"), "{}", refused.stderr);
    let plan = folder.call(&["plan", "job.toml", "--from", &path]);
    assert!(!plan.success && plan.stdout.contains("nothing goes on from there"), "{}", plan.stdout);
}

#[test]
fn one_that_dies_before_it_has_stopped_says_so_when_it_starts_again() {
    let expected = straight();
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], Some("manifest.before:1"));
    let lost = folder.call(&["stop", "job.toml", "--savepoint", "mine"]);
    assert!(lost.error().contains("without an answer"), "{}", lost.stderr);
    assert_eq!(running.end().signal(), Some(6));
    let gone = folder.call(&["status", "job.toml"]);
    assert!(gone.error().contains("nobody listens"), "{}", gone.stderr);
    let log = finish_fast(&folder, &[]);
    assert!(log.contains("WARN the job was to be stopped with a savepoint in ") && log.contains("/mine, and"), "{log}");
    assert_eq!(folder.lines("out"), expected);
    assert!(!finish_fast(&folder, &[]).contains("was to be stopped"), "it is said once");

    let folder = Folder::new();
    stopped(&folder);
    let log = finish_fast(&folder, &[]);
    assert!(log.contains("going on from savepoint") && !log.contains("was to be stopped"), "{log}");
    assert_eq!(folder.lines("out"), expected);
}

#[test]
fn sigterm_stops_a_job_with_a_last_checkpoint() {
    let expected = straight();
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &[], None);
    running.makes_rows(&folder, &[]);
    running.signal(Signal::TERM);
    running.until("stopping with a last checkpoint");
    assert!(running.end().success());
    let log = finish_fast(&folder, &[]);
    assert!(log.contains("INFO going on from checkpoint 1"), "{log}");
    assert_eq!(folder.lines("out"), expected);
}

#[test]
fn a_job_that_waits_to_start_again_can_be_looked_at_and_stopped() {
    let expected = straight();
    let folder = Folder::new();
    folder.write("job.toml", format!("{JOB}\n[restart]\nstrategy = \"fixed-delay\"\ndelay = \"1h\"\n"));
    let running = Running::start(&folder, &[], Some("barrier.last_slot:3:panic"));
    say(&folder, &["savepoint", "job.toml"]);
    makes_checkpoints(&folder, 2);
    let failed = folder.call(&["savepoint", "job.toml"]);
    assert!(failed.error().contains("before the savepoint was complete"), "{}", failed.stderr);
    running.until("starts again in");

    let status = json(&folder, &["status", "job.toml"]);
    assert_eq!((&status["state"], &status["restarts_total"]), (&"restarting".into(), &1.into()), "{status}");
    assert!(status["failure"].as_str().unwrap().contains("`barrier.last_slot` was reached"), "{status}");
    let wait = status["restarts_in_ms"].as_u64().unwrap();
    assert!(wait > 0 && wait <= 3_600_000, "{status}");
    assert_eq!(status["checkpoints"]["last_completed_checkpoint"]["checkpoint"], 2);
    let text = say(&folder, &["status", "job.toml"]);
    assert!(text.contains("job has failed and starts again in ") && text.contains("`barrier.last_slot`"), "{text}");
    for (command, why) in [
        (&["savepoint", "job.toml"][..], "no savepoint can be made"),
        (&["stop", "job.toml", "--savepoint"], "no savepoint can be made"),
        (&["stop", "job.toml", "--drain"], "it cannot be drained"),
    ] {
        let refused = folder.call(command);
        assert!(refused.error().contains(why) && refused.stderr.contains("starts again"), "{}", refused.stderr);
    }
    let stopped = folder.call(&["stop", "job.toml"]);
    assert!(stopped.success && stopped.stderr.contains("stopped with checkpoint 2"), "{}", stopped.stderr);
    assert!(running.end().success());

    folder.write("job.toml", JOB);
    let log = finish_fast(&folder, &[]);
    assert!(log.contains("going on from checkpoint 2") && !log.contains("was to be stopped"), "{log}");
    assert_eq!(folder.lines("out"), expected);
}

#[test]
fn what_cannot_be_done_is_refused_and_the_job_goes_on() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let none = folder.call(&["savepoint", "job.toml"]);
    assert!(none.error().contains("does not run on this machine"), "{}", none.stderr);
    let running = Running::start(&folder, &[], None);
    folder.write("full/of.it", "x");
    for stop in [&["savepoint", "job.toml", "--to", "full"][..], &["stop", "job.toml", "--savepoint", "full"]] {
        let refused = folder.call(stop);
        assert!(refused.error().contains("not empty") && refused.stderr.contains("full/of.it"), "{}", refused.stderr);
    }
    let accepted = folder.call(&["savepoint", "job.toml", "--detached", "--to", "later"]);
    assert!(accepted.success && accepted.stdout.is_empty(), "{}", accepted.stderr);
    // They have their turns one after the other.
    say(&folder, &["savepoint", "job.toml"]);
    assert!(folder.path().join("later/manifest.json").exists());

    // A client that waits no longer does not stop what it has asked for.
    running.signal(Signal::STOP);
    let early = folder.call(&["savepoint", "job.toml", "--to", "early", "--timeout", "10ms"]);
    running.signal(Signal::CONT);
    assert!(early.error().contains("goes on"), "{}", early.stderr);
    say(&folder, &["savepoint", "job.toml"]);
    assert!(folder.path().join("early/manifest.json").exists());

    let socket = folder.path().join("job.checkpoints/job/control.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |line: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask(b"{\"version\":7,\"command\":\"dance\"}\n").contains("speaks version 1"));
    assert!(ask(b"{\"version\":1,\"command\":\"dance\"}\n").contains("no request"));
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    assert!(!socket.exists());

    let job = JOB.replace("[checkpoints]\n    interval = \"1h\"", "");
    let refused = folder.run(&job, &["--fresh"]);
    assert!(refused.error().contains("makes no checkpoints"), "{}", refused.stderr);
}

#[test]
fn the_socket_may_be_elsewhere() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let running = Running::start(&folder, &["--state-dir", "run"], None);
    assert!(folder.path().join("run/job.sock").exists());
    say(&folder, &["stop", "job.toml", "--state-dir", "run"]);
    assert!(running.end().success());
}
