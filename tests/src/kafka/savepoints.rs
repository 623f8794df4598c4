//! Savepoints of jobs that deliver exactly once, while hosts die.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::thread;

use serde_json::Value;
use wasmill::model::fail_point::{FAIL_POINTS, TRANSACTION_FAIL_POINTS};

use super::cluster::Cluster;
use super::exactly_once::{goes_on_from, is_whole, numbered, straight};
use crate::harness::Folder;
use crate::keyed_job::{die_at, finish_fast};
use crate::operations::{Running, makes_rows, say};

/// Of a start: each of its two claims comes by the places of a record before a checkpoint does.
const RECORDS_OF_CLAIMS: u32 = 2;

/// When a host comes by a place for the first checkpoint.
fn first_time(place: &str) -> u32 {
    1 + if place.starts_with("record.") { RECORDS_OF_CLAIMS } else { 0 }
}

#[test]
fn wherever_a_stop_dies_each_row_is_there_once() {
    let cluster = Cluster::shared();
    let expected = straight(&cluster);
    let is_on_its_way = |place: &&str| {
        let is_of_starts = place.starts_with("claim.") || ["followers.replay", "restore.middle"].contains(place);
        // A savepoint replaces nothing.
        !is_of_starts && *place != "gc.middle"
    };
    let places: Vec<&str> = FAIL_POINTS.into_iter().chain(TRANSACTION_FAIL_POINTS).filter(is_on_its_way).collect();
    // These jobs wait for brokers most of their time.
    thread::scope(|scope| {
        for share in places.chunks(places.len().div_ceil(4)) {
            let (cluster, expected) = (&cluster, &expected);
            scope.spawn(move || share.iter().for_each(|place| stop_dies_at(place, cluster, expected)));
        }
    });
}

fn stop_dies_at(place: &str, cluster: &Cluster, expected: &[String]) {
    let (folder, topic) = (Folder::new(), cluster.topic("stopped", 3));
    // The savepoint is the first checkpoint.
    let job = numbered(&cluster.address, &topic).replace("\"50ms\"", "\"4m\"").replace("rate = 3000", "rate = 1000");
    folder.write("job.toml", job);
    let running = Running::start(&folder, &[], Some(&format!("{place}:{}", first_time(place))));
    makes_rows(&folder, &[]);
    let lost = folder.call(&["stop", "job.toml", "--savepoint"]);
    assert!(lost.error().contains("without an answer"), "`{place}`: {}", lost.stderr);
    assert_eq!(running.end().signal(), Some(6), "`{place}`");

    let running = Running::start(&folder, &[], None);
    let is_decided = place.starts_with("decided.");
    running.until(if is_decided { "going on from savepoint" } else { "was to be stopped with a savepoint" });
    makes_rows(&folder, &[]);
    say(&folder, &["stop", "job.toml", "--savepoint"]);
    assert!(running.end().success());
    assert!(cluster.is_decided(&topic), "`{place}`: a transaction is open");
    let log = finish_fast(&folder, &[]);
    assert!(log.contains("going on from savepoint") && !log.contains("was to be stopped"), "`{place}`: {log}");
    is_whole(cluster, &topic, place);
    assert!(folder.lines("out") == expected, "`{place}`: the files are others");
}

#[test]
fn an_older_savepoint_is_gone_on_from_once_however_often_that_dies() {
    let cluster = Cluster::shared();
    let (folder, topic) = (Folder::new(), cluster.topic("first", 3));
    folder.write("job.toml", numbered(&cluster.address, &topic));
    let running = Running::start(&folder, &[], None);
    makes_rows(&folder, &[]);
    let savepoint = say(&folder, &["stop", "job.toml", "--savepoint"]);
    assert!(running.end().success());
    let scanned = say(&folder, &["state", "scan", &savepoint, "count", "count", "--json"]);
    let entries = scanned.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let covered: BTreeMap<String, u64> = entries
        .map(|entry| (entry["key"]["key"].as_str().unwrap().to_owned(), entry["value"].as_u64().unwrap()))
        .collect();
    // The job has decided on others since.
    die_at(&folder, "decided.before_ack", 2, &[]);
    let shown = cluster.read(&topic);
    assert!(shown.len() as u64 > covered.values().sum());

    for place in ["claim.after_read", "claim.after", "barrier.last_slot", "manifest.after", "record.acked"] {
        let again = cluster.topic("again", 3);
        let sets = [format!("sinks.numbers.topic=\"{again}\""), format!("sinks.out.path=\"{place}\"")];
        let arguments = ["--from", &savepoint, "--set", &sets[0], "--set", &sets[1]];
        die_at(&folder, place, first_time(place), &arguments);
        finish_fast(&folder, &arguments);
        goes_on_from(&covered, &cluster, &again, place);
    }
    assert_eq!(cluster.read(&topic), shown, "what was shown before is as it was");
}
