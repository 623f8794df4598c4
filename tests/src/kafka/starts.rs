//! Where sources begin when a job first starts, and what becomes of that when it dies before its first checkpoint or names
//! other topics.

use super::cluster::{Cluster, Message};
use super::copy::{QUICK, copy_exactly_once, each_once_and_in_order, messages};
use crate::harness::Folder;
use crate::keyed_job::{die_at, finish};
use crate::operations::{Running, say};

const HALF: usize = 500;

/// Writes what it reads to files. No checkpoint comes by itself while a test runs.
fn to_files(source: &str) -> String {
    format!(
        r#"
        name = "job"
        parallelism = 2
        [checkpoints]
        interval = "1h"
        [sources.in]
        format = "raw"
        {source}
        [sinks.out]
        inputs = ["in"]
        connector = "file"
        path = "out"
        [restart]
        strategy = "none"
        "#
    )
}

fn topics(cluster: &Cluster, topics: &[&str], more: &str) -> String {
    to_files(&format!("connector = \"kafka\"\nbrokers = \"{}\"\ntopics = {topics:?}\n{more}", cluster.address))
}

fn values(folder: &Folder) -> Vec<String> {
    let value = |row: String| row.trim_start_matches("{\"value\":\"").trim_end_matches("\"}").to_owned();
    folder.lines("out").into_iter().map(value).collect()
}

#[test]
fn what_comes_after_a_first_start_that_dies_is_read_by_the_next() {
    let cluster = Cluster::shared();
    let far = "start = { timestamp = \"2100-01-01T00:00:00Z\" }";
    for start in ["start = \"latest\"", far] {
        let (folder, from) = (Folder::new(), cluster.topic("latest", 2));
        cluster.send(&from, &[Message::at("old", 0), Message::at("old", 1)]);
        folder.write("job.toml", topics(&cluster, &[&from], start));
        let running = Running::start(&folder, &[], None);
        cluster.send(&from, &[Message::at("a", 0), Message::at("b", 1)]);
        running.makes_rows(&folder, &[]);
        // `kill -9`
        drop(running);
        cluster.send(&from, &[Message::at("c", 0), Message::at("d", 1)]);
        let running = Running::start(&folder, &[], None);
        running.until("going on from checkpoint 1 in ");
        running.gets_rows(&folder, 4, &[]);
        say(&folder, &["stop", "job.toml"]);
        assert!(running.end().success());
        assert_eq!(values(&folder), ["a", "b", "c", "d"], "{start}");
    }
}

#[test]
fn the_same_in_transactions() {
    let cluster = Cluster::shared();
    let (folder, from, to) = (Folder::new(), cluster.topic("latest", 2), cluster.topic("to", 2));
    cluster.send(&from, &[Message::at("old", 0), Message::at("old", 1)]);
    let job = copy_exactly_once(&cluster.address, &from, &to, QUICK).replace("\"50ms\"", "\"4m\"");
    folder.write("job.toml", job.replace("metadata =", "start = \"latest\"\n        metadata ="));
    // Before it is decided where the sources begin, which comes behind two claims, and when only Kafka knows.
    die_at(&folder, "record.acked", 3, &[]);
    cluster.send(&from, &[Message::at("still old", 0)]);
    die_at(&folder, "decided.before_log", 1, &[]);
    cluster.send(&from, &messages(0..HALF));
    let running = Running::start(&folder, &[], None);
    running.until("going on from checkpoint 2 in ");
    running.makes_rows(&folder, &[]);
    drop(running);
    cluster.send(&from, &messages(HALF..2 * HALF));
    let running = Running::start(&folder, &[], None);
    running.gets_rows(&folder, 2 * HALF as u64, &[]);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    each_once_and_in_order(&cluster, &to, 2 * HALF);
}

#[test]
fn a_bounded_source_ends_where_its_topics_ended_at_the_first_start() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let from = cluster.topic("bounded", 2);
    cluster.send(&from, &messages(0..HALF));
    folder.write("job.toml", topics(&cluster, &[&from], "bounded = true"));
    die_at(&folder, "barrier.first_slot", 1, &[]);
    cluster.send(&from, &messages(HALF..2 * HALF));
    let log = finish(&folder, &[]);
    assert!(log.contains("going on from checkpoint 1 in "), "{log}");
    assert_eq!(folder.lines("out").len(), HALF);
}

#[test]
fn topics_are_read_as_long_as_they_are_named() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let [kept, dropped, new] = ["kept", "dropped", "new"].map(|name| cluster.topic(name, 1));
    cluster.send(&kept, &[Message::at("kept 1", 0)]);
    cluster.send(&dropped, &[Message::at("dropped 1", 0)]);
    folder.write("job.toml", topics(&cluster, &[&kept, &dropped], ""));
    let running = Running::start(&folder, &[], None);
    running.gets_rows(&folder, 2, &[]);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());

    cluster.send(&kept, &[Message::at("kept 2", 0)]);
    cluster.send(&dropped, &[Message::at("dropped 2", 0)]);
    cluster.send(&new, &[Message::at("new 1", 0)]);
    // What `plan` says is what `run` does.
    let others = topics(&cluster, &[&kept, &new], "");
    for (job, why) in [
        (&others, &*format!("position in `{dropped}` is dropped")),
        (&topics(&cluster, &[&kept, &dropped], "bounded = true"), "and reads topics up to the ends that they had"),
        (
            &to_files("connector = \"file\"\npath = \"job.toml\""),
            "it read topics without an end, and reads files of lines",
        ),
    ] {
        folder.write("job.toml", job);
        let planned = folder.call(&["plan", "job.toml"]);
        assert!(!planned.success && planned.stdout.contains(why), "{}{}", planned.stdout, planned.stderr);
        let refused = folder.call(&["run", "job.toml"]);
        assert!(refused.error().contains(why), "{}", refused.stderr);
    }

    folder.write("job.toml", &others);
    let planned = say(&folder, &["plan", "job.toml", "--allow-non-restored-state"]);
    assert!(planned.contains("`in`: position goes on"), "{planned}");
    assert!(planned.contains(&format!("position in `{new}` is new")), "{planned}");
    let running = Running::start(&folder, &["--allow-non-restored-state"], None);
    running.gets_rows(&folder, 2, &[]);
    say(&folder, &["stop", "job.toml"]);
    assert!(running.end().success());
    assert_eq!(values(&folder), ["dropped 1", "kept 1", "kept 2", "new 1"]);
}
