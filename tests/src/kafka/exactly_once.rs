//! Sinks that deliver exactly once: whatever happens to the host, readers of committed messages see what a run shows to
//! which nothing happens, in the order of each key, and no transaction is left open.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::thread;

use serde_json::Value;
use wasmill::model::fail_point::{FAIL_POINTS, TRANSACTION_FAIL_POINTS};

use super::cluster::{Cluster, Message};
use super::copy::{QUICK, copy_exactly_once, each_once_and_in_order, messages};
use crate::harness::{Folder, Ran, Running};
use crate::keyed_job::{die_at, finish, finish_fast};

const EVENTS: u64 = 6_000;

/// Numbers the events of each key, into a topic, and counts them in windows, into files.
pub fn numbered(address: &str, topic: &str) -> String {
    format!(
        r#"
        name = "job"
        parallelism = 2
        [checkpoints]
        interval = "50ms"
        [sources.events]
        connector = "generator"
        events = "keyed"
        keys = 50
        count = {EVENTS}
        rate = 3000
        per_milli = 1
        splits = 4
        event_time = {{ column = "timestamp", unit = "ms" }}
        out_of_orderness = "200ms"
        watermark = {{ out_of_orderness = "200ms" }}
        [operators.count]
        inputs = ["events"]
        key_by = ["key"]
        plugin = "plugins/count.wasm"
        [operators.windows]
        inputs = ["count"]
        key_by = ["key"]
        window = {{ tumbling = "500ms" }}
        aggregate = {{ n = "count()", most = "max(value)" }}
        [sinks.numbers]
        inputs = ["count"]
        connector = "kafka"
        brokers = "{address}"
        topic = "{topic}"
        key = ["key"]
        value = ["count"]
        format = "json"
        delivery = "exactly-once"
        [sinks.out]
        inputs = ["windows"]
        connector = "file"
        path = "out"
        format = "json"
        # Each death is one of a whole process.
        [restart]
        strategy = "none"
        "#
    )
}

/// Nothing lost, nothing twice, each key in order: the numbers of each are 1, 2, 3 and so on.
pub fn is_whole(cluster: &Cluster, topic: &str, context: &str) {
    goes_on_from(&BTreeMap::new(), cluster, topic, context);
}

/// The same, where each key has got so many numbers elsewhere.
pub fn goes_on_from(covered: &BTreeMap<String, u64>, cluster: &Cluster, topic: &str, context: &str) {
    follow_each_other(&cluster.read(topic), covered, context);
    assert!(cluster.is_decided(topic), "{context}: a transaction is open");
}

/// The numbers of each key do, and all are there.
pub fn follow_each_other(messages: &[Message], covered: &BTreeMap<String, u64>, context: &str) {
    let mut last = covered.clone();
    for message in messages {
        let value: Value = serde_json::from_str(message.value.as_ref().unwrap()).unwrap();
        let number = last.entry(message.key.clone().unwrap()).or_default();
        *number += 1;
        assert_eq!(value["count"], *number, "{context}: {message:?}");
    }
    assert_eq!((last.values().sum::<u64>(), last.len()), (EVENTS, 50), "{context}");
}

/// What the files show when nothing happens.
pub fn straight(cluster: &Cluster) -> Vec<String> {
    let (folder, topic) = (Folder::new(), cluster.topic("straight", 3));
    let rows = folder.rows(&numbered(&cluster.address, &topic).replace("rate = 3000", ""), &[]);
    is_whole(cluster, &topic, "straight");
    assert!(rows.len() > 100, "{}", rows.len());
    rows
}

#[test]
fn wherever_it_dies_each_row_is_there_once() {
    let cluster = Cluster::shared();
    let expected = straight(&cluster);
    let places: Vec<&str> = FAIL_POINTS.into_iter().chain(TRANSACTION_FAIL_POINTS).collect();
    // These jobs wait for brokers most of their time.
    thread::scope(|scope| {
        for share in places.chunks(places.len().div_ceil(4)) {
            let (cluster, expected) = (&cluster, &expected);
            scope.spawn(move || share.iter().for_each(|place| dies_at(place, cluster, expected)));
        }
    });
}

fn dies_at(place: &str, cluster: &Cluster, expected: &[String]) {
    let (folder, topic) = (Folder::new(), cluster.topic("numbers", 3));
    folder.write("job.toml", numbered(&cluster.address, &topic));
    // At the second checkpoint there is one to go on from; what happens at a start happens at the next one.
    die_at(&folder, "decided.before_follow", 1, &[]);
    let is_of_starts = place.starts_with("claim.") || ["followers.replay", "restore.middle"].contains(&place);
    die_at(&folder, place, if is_of_starts { 1 } else { 2 }, &[]);
    finish_fast(&folder, &[]);
    is_whole(cluster, &topic, place);
    assert!(folder.lines("out") == expected, "`{place}`: the files are others");
}

#[test]
fn before_its_first_decision_too() {
    let cluster = Cluster::shared();
    for place in ["claim.after_fence_a", "claim.after_read", "claim.commit_sent", "claim.after", "record.acked"] {
        let (folder, topic) = (Folder::new(), cluster.topic("first", 3));
        folder.write("job.toml", numbered(&cluster.address, &topic));
        die_at(&folder, place, 1, &[]);
        finish(&folder, &[]);
        is_whole(&cluster, &topic, place);
    }
}

#[test]
fn a_job_that_fails_holds_nobody_up_and_starts_again() {
    let cluster = Cluster::shared();
    let (folder, topic) = (Folder::new(), cluster.topic("fails", 3));
    folder.write("job.toml", numbered(&cluster.address, &topic));
    let mut command = folder.command(&["run", "job.toml"]);
    let ran = Ran::from(command.env("WASMILL_FAIL_POINT", "upload.middle:2:panic").output().unwrap());
    assert!(!ran.success, "{}", ran.stderr);
    assert!(cluster.is_decided(&topic), "its transaction is aborted");
    let restart = "restart.strategy=\"fixed-delay\"";
    let mut command = folder.command(&["run", "job.toml", "--set", restart, "--set", "restart.delay=\"1ms\""]);
    let ran = Ran::from(command.env("WASMILL_FAIL_POINT", "upload.middle:2:panic").output().unwrap());
    assert!(ran.success && ran.stderr.contains("starts again in"), "{}", ran.stderr);
    is_whole(&cluster, &topic, "restarted");
}

#[test]
fn the_number_of_slots_may_change() {
    let cluster = Cluster::shared();
    let (folder, topic) = (Folder::new(), cluster.topic("slots", 3));
    folder.write("job.toml", numbered(&cluster.address, &topic));
    die_at(&folder, "record.acked", 3, &["--set", "parallelism=1"]);
    die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=4"]);
    finish(&folder, &["--set", "parallelism=2"]);
    is_whole(&cluster, &topic, "1 to 4 to 2");
}

const HALF: usize = 1_000;
const FEW: usize = 7;

#[test]
fn from_topic_to_topic_killed_stopped_and_rescaled() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let (from, to) = (cluster.topic("from", 2), cluster.topic("to", 2));
    let job = copy_exactly_once(&cluster.address, &from, &to, QUICK);
    let mut sent = 0;
    for slots in ["1", "4", "2"] {
        cluster.send(&from, &messages(sent..sent + HALF));
        let (running, _lines) = Running::start_with(&folder, &job, &["-p", slots]);
        cluster.wait_for(&to, sent + HALF / 2);
        sent += HALF;
        // `kill -9`
        drop(running);
    }
    cluster.send(&from, &messages(sent..sent + FEW));
    sent += FEW;
    let (mut running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    cluster.wait_for(&to, sent);
    let stopped = folder.call(&["stop", "job.toml", "--savepoint", "saved"]);
    assert!(stopped.success, "{}", stopped.stderr);
    assert!(running.succeeded());
    each_once_and_in_order(&cluster, &to, sent);

    // The job goes on from the savepoint, and beside it a fork, which writes elsewhere.
    cluster.send(&from, &messages(sent..sent + HALF));
    let forked = cluster.topic("forked", 2);
    folder
        .write("fork.toml", copy_exactly_once(&cluster.address, &from, &forked, QUICK).replace("\"job\"", "\"fork\""));
    let fork = folder.command(&["run", "fork.toml", "--from", "saved"]).stderr(Stdio::null()).spawn().unwrap();
    let (mut running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    cluster.wait_for(&to, sent + HALF);
    let numbers = cluster.wait_for(&forked, HALF);
    assert!(numbers.iter().all(|message| message.value.as_ref().unwrap().parse::<usize>().unwrap() >= sent));
    let stopped = folder.call(&["stop", "fork.toml"]);
    assert!(stopped.success, "{}", stopped.stderr);
    assert!(fork.wait_with_output().unwrap().status.success());
    assert_eq!(cluster.read(&forked).len(), HALF);
    running.interrupt();
    assert!(running.succeeded());
    each_once_and_in_order(&cluster, &to, sent + HALF);
}

/// Where the decisions of the job stand that was run in a folder.
pub fn commit_topic(folder: &Folder) -> String {
    let decisions = std::fs::read_dir(folder.path().join("job.checkpoints/job/decisions")).unwrap();
    let record = decisions.map(|entry| entry.unwrap().path()).max().unwrap();
    let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    format!("wasmill-{}", record["job_id"].as_str().unwrap())
}

#[test]
fn what_cannot_be_is_said() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let (from, to) = (cluster.topic("from", 1), cluster.topic("to", 1));
    let job = copy_exactly_once(&cluster.address, &from, &to, QUICK);
    let long = "sinks.out.properties={ \"transaction.timeout.ms\" = 1000000 }";
    let ran = folder.run(&job, &["--set", long]);
    assert!(ran.error().contains("`transaction.max.timeout.ms` of the brokers"), "{}", ran.stderr);

    // Whoever deletes the topic of the decisions is told what that means.
    cluster.send(&from, &messages(0..HALF));
    let (mut running, _lines) = Running::start_with(&folder, &job, &["-p", "1"]);
    cluster.wait_for(&to, HALF);
    running.interrupt();
    assert!(running.succeeded());
    cluster.delete_topic(&commit_topic(&folder));
    let ran = folder.run(&job, &[]);
    assert!(ran.error().contains("the topic of this job's decisions is empty"), "{}", ran.stderr);
}
