//! What a source reads, from where, and what becomes of it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use serde_json::{Value, json};

use super::cluster::{Cluster, Message};
use crate::harness::{Folder, Running};
use crate::operations;

/// A job that writes what it reads as lines; `options` are the source's.
fn job(address: &str, options: &str, sink: &str) -> String {
    format!(
        r#"
        name = "job"
        dead_letter_limit = "100%"
        [sources.in]
        connector = "kafka"
        brokers = "{address}"
        {options}
        [sinks.out]
        inputs = ["in"]
        {sink}
        "#
    )
}

const FILE: &str = "connector = \"file\"\npath = \"out\"\nformat = \"json\"";
const STDOUT: &str = "connector = \"stdout\"";

/// The `n` of the rows of a bounded job.
fn numbers(folder: &Folder, cluster: &Cluster, options: &str) -> Vec<i64> {
    let options = format!("{options}\nbounded = true\nformat = \"json\"\nschema = {{ n = \"i64\" }}");
    let rows = folder.rows(&job(&cluster.address, &options, FILE), &["-p", "2"]);
    let mut numbers: Vec<i64> = rows.iter().map(|row| field(row, "n").as_i64().unwrap()).collect();
    numbers.sort();
    numbers
}

fn field(row: &str, name: &str) -> Value {
    serde_json::from_str::<Value>(row).unwrap()[name].clone()
}

fn number(n: i64, partition: i32) -> Message {
    Message::at(&json!({ "n": n }).to_string(), partition)
}

#[test]
fn key_headers_and_where_a_message_stands_are_columns() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("metadata", 2);
    let headers = vec![("trace".to_owned(), Some("abc".to_owned())), ("none".to_owned(), None)];
    let whole = Message { key: Some("k1".to_owned()), headers, timestamp: Some(1_700_000_000_123), ..number(1, 1) };
    let bare = Message { timestamp: Some(1_700_000_000_000), ..number(2, 1) };
    cluster.send(&topic, &[whole, bare]);
    let options = format!(
        r#"
        topics = ["{topic}"]
        bounded = true
        format = "json"
        schema = {{ n = "i64" }}
        metadata = {{ key = "k", headers = "h", timestamp = "ts", topic = "t", partition = "p", offset = "o" }}
        event_time = {{ column = "ts" }}
        "#
    );
    let rows = folder.rows(&job(&cluster.address, &options, FILE), &["-p", "1"]);
    let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    let mut rows = rows.into_iter();
    let first = json!({
        "n": 1, "k": "k1", "h": [{ "name": "trace", "value": "616263" }, { "name": "none" }],
        "ts": "2023-11-14T22:13:20.123Z", "t": topic, "p": 1, "o": 0
    });
    assert_eq!(rows.next(), Some(first));
    let second = rows.next().unwrap();
    assert_eq!(
        (&second["n"], &second["k"], &second["h"], &second["o"]),
        (&json!(2), &Value::Null, &json!([]), &json!(1))
    );

    // A schema that its readers infer, and only what they need of both.
    let options = format!(
        "topics = [\"{topic}\"]\nbounded = true\nformat = \"raw\"\nmetadata = {{ key = {{ column = \"k\", type = \"bytes?\" }}, timestamp = \"ts\" }}\nevent_time = {{ column = \"ts\" }}"
    );
    let window = "[operators.w]\ninputs = [\"in\"]\nkey_by = [\"k\"]\nwindow = { tumbling = \"1s\" }\naggregate = { n = \"count()\" }\n[sinks.out]";
    let job = job(&cluster.address, &options, FILE)
        .replace("[sinks.out]", window)
        .replace("inputs = [\"in\"]\n        connector", "inputs = [\"w\"]\nconnector");
    let rows = folder.rows(&job, &["-p", "1"]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().any(|row| field(row, "k") == "6b31" && field(row, "n") == 1), "{rows:?}");
}

#[test]
fn topics_by_name_and_by_pattern() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let (one, two) = (cluster.topic("several.a", 2), cluster.topic("several.b", 1));
    let other = cluster.topic("other", 1);
    cluster.send(&one, &[number(1, 0), number(2, 1)]);
    cluster.send(&two, &[number(3, 0)]);
    cluster.send(&other, &[number(4, 0)]);
    assert_eq!(numbers(&folder, &cluster, &format!("topics = [\"{one}\", \"{two}\"]")), [1, 2, 3]);
    assert_eq!(numbers(&folder, &cluster, "topics = ['^several\\.[ab]']"), [1, 2, 3]);
    assert_eq!(numbers(&folder, &cluster, &format!("topics = ['^several\\.a', \"{other}\"]")), [1, 2, 4]);
    let options = "topics = ['^none-of-these$']\nbounded = true\nformat = \"raw\"";
    let ran = folder.run(&job(&cluster.address, options, STDOUT), &[]);
    assert!(ran.error().contains("no topic") && ran.error().contains("none-of-these"), "{}", ran.stderr);
}

#[test]
fn a_bounded_source_ends_at_any_parallelism() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("bounded", 3);
    let messages: Vec<Message> = (0..3_000).map(|n| number(n, (n % 2) as i32)).collect();
    cluster.send(&topic, &messages);
    for parallelism in ["1", "2", "3", "5"] {
        let options = format!("topics = [\"{topic}\"]\nbounded = true\nformat = \"json\"\nschema = {{ n = \"i64\" }}");
        let rows = folder.rows(&job(&cluster.address, &options, FILE), &["-p", parallelism]);
        let mut numbers: Vec<i64> = rows.iter().map(|row| field(row, "n").as_i64().unwrap()).collect();
        numbers.sort();
        assert_eq!(numbers, (0..3_000).collect::<Vec<_>>(), "at parallelism {parallelism}");
    }
}

#[test]
fn reading_starts_where_the_job_says() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("start", 2);
    let at = |n: i64, partition| Message { timestamp: Some(1_700_000_000_000 + n * 1000), ..number(n, partition) };
    cluster.send(&topic, &(0..10).map(|n| at(n, 0)).collect::<Vec<_>>());
    cluster.send(&topic, &(0..5).map(|n| at(100 + n, 1)).collect::<Vec<_>>());
    let from = |start: &str| numbers(&folder, &cluster, &format!("topics = [\"{topic}\"]\n{start}"));
    let all: Vec<i64> = (0..10).chain(100..105).collect();
    assert_eq!(from(""), all);
    assert_eq!(from("start = \"latest\""), [0; 0]);
    assert_eq!(from("start = { timestamp = \"2023-11-14T22:13:27.500Z\" }"), [8, 9, 100, 101, 102, 103, 104]);
    assert_eq!(from("start = { timestamp = \"2023-11-14T22:15:03Z\" }"), [103, 104]);
    let group = format!("group-of-{topic}");
    cluster.commit(&group, &topic, 0, 7);
    let committed = format!("group = \"{group}\"\nstart = \"committed\"");
    assert_eq!(from(&committed), [7, 8, 9, 100, 101, 102, 103, 104]);
    cluster.delete_before(&topic, 0, 4);
    assert_eq!(from("start = \"earliest\""), [4, 5, 6, 7, 8, 9, 100, 101, 102, 103, 104]);
    // What the group was about to read is gone: that is said, not passed over.
    cluster.commit(&group, &topic, 0, 2);
    let options = format!("topics = [\"{topic}\"]\n{committed}\nbounded = true\nformat = \"raw\"");
    let ran = folder.run(&job(&cluster.address, &options, STDOUT), &[]);
    for part in [&format!("`{topic}-0`"), "offset 2", "earliest"] {
        assert!(ran.error().contains(part), "`{part}` is missing in: {}", ran.stderr);
    }
}

#[test]
fn messages_of_aborted_transactions_are_not_read_unless_asked_for() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("transactions", 1);
    cluster.send_in_transaction(&topic, &[number(1, 0), number(2, 0)], true);
    cluster.send_in_transaction(&topic, &[number(3, 0)], false);
    let options = format!("topics = [\"{topic}\"]");
    // It ends, although no message stands before the end offset: marks of transactions do.
    assert_eq!(numbers(&folder, &cluster, &options), [1, 2]);
    let all = format!("{options}\nproperties = {{ \"isolation.level\" = \"read_uncommitted\" }}");
    assert_eq!(numbers(&folder, &cluster, &all), [1, 2, 3]);
}

#[test]
fn what_is_not_an_event_is_a_dead_letter_with_its_partition_and_offset() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("malformed", 2);
    let tombstone = Message { key: Some("k".to_owned()), value: None, ..number(0, 0) };
    let bad_key = Message { key: None, ..number(5, 1) };
    let pretty = Message { key: Some("k".to_owned()), ..Message::at("{\n  \"n\": 2\n}\n", 1) };
    let good = |n, partition| Message { key: Some("k".to_owned()), ..number(n, partition) };
    let no_json = Message { key: Some("k".to_owned()), ..Message::at("{\"n\":", 1) };
    let empty = Message { key: Some("k".to_owned()), ..Message::at("", 0) };
    cluster.send(&topic, &[good(1, 0), tombstone, empty, good(3, 0), pretty, no_json, bad_key, good(4, 1)]);
    let options = format!(
        "topics = [\"{topic}\"]\nbounded = true\nformat = \"json\"\nschema = {{ n = \"i64\" }}\nmetadata = {{ key = {{ column = \"k\", type = \"text\" }} }}"
    );
    let rows = folder.rows(&job(&cluster.address, &options, FILE), &["-p", "2"]);
    assert_eq!(rows.len(), 4, "{rows:?}");
    let mut letters: Vec<(String, u64, String)> = Vec::new();
    for letter in folder.dead_letters() {
        assert_eq!(letter["node"], "in");
        let text = |field: &str| letter[field].as_str().unwrap().to_owned();
        letters.push((text("split"), letter["offset"].as_u64().unwrap(), text("reason")));
    }
    letters.sort();
    let expected = [(0, 1, "tombstone"), (0, 2, "empty"), (1, 1, "not whole JSON"), (1, 2, "no key")];
    assert_eq!(letters.len(), expected.len(), "{letters:?}");
    for ((split, offset, reason), (partition, at, why)) in letters.iter().zip(expected) {
        assert_eq!((split, *offset), (&format!("{topic}-{partition}"), at));
        assert!(reason.contains(why), "{reason}");
    }

    // When every column allows null, a tombstone is a row.
    let options = options.replace("\"i64\"", "\"i64?\"");
    let rows = folder.rows(&job(&cluster.address, &options, FILE), &["-p", "1"]);
    assert!(rows.contains(&"{\"k\":\"k\"}".to_owned()) && rows.len() == 5, "{rows:?}");
}

#[test]
fn csv_messages_are_records_and_raw_ones_whole() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("csv", 1);
    cluster.send(&topic, &[Message::new("\"a\nb\";1"), Message::new("c;2\n"), Message::new("d;3\ne;4")]);
    let options = format!(
        "topics = [\"{topic}\"]\nbounded = true\nformat = \"csv\"\ndelimiter = \";\"\nschema = {{ t = \"text\", n = \"i64\" }}"
    );
    let rows = folder.rows(&job(&cluster.address, &options, FILE), &[]);
    assert_eq!(rows, ["{\"t\":\"a\\nb\",\"n\":1}", "{\"t\":\"c\",\"n\":2}"]);
    assert!(folder.dead_letters()[0]["reason"].as_str().unwrap().contains("more than one record"));
    let options = format!("topics = [\"{topic}\"]\nbounded = true\nformat = \"raw\"");
    let rows = folder.rows(&job(&cluster.address, &options, FILE), &[]);
    assert!(rows.contains(&"{\"value\":\"d;3\\ne;4\"}".to_owned()), "{rows:?}");
}

#[test]
fn new_partitions_and_topics_are_found_while_a_job_runs() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let first = cluster.topic("growing.a", 1);
    cluster.send(&first, &[number(1, 0)]);
    let options = format!(
        "topics = ['^{}']\ndiscover_interval = \"50ms\"\nformat = \"json\"\nschema = {{ n = \"i64\" }}",
        first.replace("growing.a", "growing\\.[ab]")
    );
    let job = job(&cluster.address, &options, STDOUT);
    let (mut running, mut lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    assert_eq!(lines.next().as_deref(), Some("{\"n\":1}"));
    cluster.add_partitions(&first, 3);
    cluster.send(&first, &[number(2, 2)]);
    assert_eq!(lines.next().as_deref(), Some("{\"n\":2}"), "{:?}", folder.lines("stderr"));
    let second = first.replace("growing.a", "growing.b");
    cluster.create_topic(&second, 1);
    cluster.send(&second, &[number(3, 0)]);
    assert_eq!(lines.next().as_deref(), Some("{\"n\":3}"));
    running.interrupt();
    assert_eq!(lines.next(), None);
    assert!(running.succeeded());
}

#[test]
fn a_slot_without_a_partition_holds_no_watermark_back() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("uneven", 1);
    let at = |second: i64| Message { timestamp: Some(1_700_000_000_000 + second * 1000), ..number(second, 0) };
    let options = format!(
        "topics = [\"{topic}\"]\nformat = \"raw\"\nmetadata = {{ timestamp = \"ts\", topic = \"t\" }}\nevent_time = {{ column = \"ts\" }}"
    );
    let window = "[operators.w]\ninputs = [\"in\"]\nkey_by = [\"t\"]\nwindow = { tumbling = \"10s\" }\naggregate = { n = \"count()\" }\n[sinks.out]";
    let job = job(&cluster.address, &options, STDOUT)
        .replace("[sinks.out]", window)
        .replace("inputs = [\"in\"]\n        connector", "inputs = [\"w\"]\nconnector");
    cluster.send(&topic, &(0..15).map(at).collect::<Vec<_>>());
    let (mut running, mut lines) = Running::start_with(&folder, &job, &["-p", "3"]);
    assert_eq!(field(&lines.next().unwrap(), "n"), 10);
    running.interrupt();
    assert_eq!(field(&lines.next().unwrap(), "n"), 5);
    assert!(running.succeeded());
}

#[test]
fn a_partition_that_has_fallen_silent_holds_no_watermark_back() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("silent", 2);
    let at = |second: i64, partition| Message {
        timestamp: Some(1_700_000_000_000 + second * 1000),
        ..number(second, partition)
    };
    // Of partition 1 there is one event, and nothing ever again.
    cluster.send(&topic, &[at(0, 1)]);
    cluster.send(&topic, &(0..25).map(|second| at(second, 0)).collect::<Vec<_>>());
    let options = format!(
        "topics = [\"{topic}\"]\nformat = \"raw\"\nmetadata = {{ timestamp = \"ts\", topic = \"t\" }}\nevent_time = {{ column = \"ts\" }}\nwatermark = {{ idle_timeout = \"2s\" }}"
    );
    let window = "[operators.w]\ninputs = [\"in\"]\nkey_by = [\"t\"]\nwindow = { tumbling = \"10s\" }\naggregate = { n = \"count()\" }\n[sinks.out]";
    let job = job(&cluster.address, &options, STDOUT)
        .replace("[sinks.out]", window)
        .replace("inputs = [\"in\"]\n        connector", "inputs = [\"w\"]\nconnector");
    for parallelism in ["1", "2"] {
        let (mut running, mut lines) = Running::start_with(&folder, &job, &["-p", parallelism]);
        // Partition 0 goes on, in one window, until those that partition 1 would hold back are out.
        let is_over = AtomicBool::new(false);
        let fired = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    cluster.send(&topic, &[at(24, 0)]);
                }
            });
            let fired = [lines.next(), lines.next()];
            is_over.store(true, Relaxed);
            fired
        });
        assert_eq!(fired.map(|line| field(&line.unwrap(), "n")), [11, 10]);
        running.interrupt();
        assert!(field(&lines.next().unwrap(), "n").as_u64().unwrap() >= 5);
        assert!(running.succeeded());
    }
}

#[test]
fn a_topic_that_is_deleted_stops_its_reader() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("deleted", 1);
    cluster.send(&topic, &[number(1, 0)]);
    let options = format!(
        r#"
        topics = ["{topic}"]
        format = "json"
        schema = {{ n = "i64" }}
        properties = {{ "topic.metadata.refresh.interval.ms" = 100, "topic.metadata.propagation.max.ms" = 100 }}
        "#
    );
    let (mut running, mut lines) = Running::start(&folder, &job(&cluster.address, &options, STDOUT));
    assert_eq!(field(&lines.next().unwrap(), "n"), json!(1));
    cluster.delete_topic(&topic);
    assert!(!running.succeeded());
    let said = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(said.contains("`in`: ") && said.contains(&topic) && said.contains("does not exist"), "{said}");
}

/// Whoever reads the sink is slow, so that the source has to wait.
#[test]
fn the_messages_that_wait_are_in_the_status_and_in_the_report() {
    const MESSAGES: u64 = 2_000;
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("pending", 1);
    let text = "x".repeat(1_000);
    cluster.send(&topic, &(0..MESSAGES).map(|_| Message::at(&text, 0)).collect::<Vec<_>>());
    let options = format!("topics = [\"{topic}\"]\nformat = \"raw\"\nschema = {{ value = \"text\" }}");
    let limits = "\n[limits]\nbatch_rows_max = 10\n[checkpoints]\ninterval = \"1h\"\n";
    let (running, mut lines) = Running::start(&folder, &(job(&cluster.address, &options, STDOUT) + limits));
    while !folder.path().join("job.checkpoints/job/control.sock").exists() {}
    // The consumer notes the end every second.
    let waiting = loop {
        assert!(lines.next().is_some(), "all has been read, and nothing ever waited");
        let status = operations::json(&folder, &["status", "job.toml"]);
        let [source, sink] = [0, 1].map(|node| &status["nodes"][node]);
        assert_eq!(sink["pending_records"], Value::Null, "{status}");
        let (pending, read) = (source["pending_records"].as_u64(), source["records_in_total"].as_u64().unwrap());
        // Both are of the last batch, if none was read in between.
        if pending.is_some_and(|pending| pending + read == MESSAGES) {
            break pending.unwrap();
        }
    };
    assert!(waiting > 0);
    let text = operations::say(&folder, &["status", "job.toml"]);
    assert!(text.contains(" wait"), "{text}");
    drop((lines, running));

    let bounded = job(&cluster.address, &format!("{options}\nbounded = true"), "connector = \"blackhole\"");
    let ran = folder.run(&bounded, &["--report", "report.json"]);
    assert!(ran.success, "{}", ran.stderr);
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["nodes"][0]["pending_records"], 0, "{report}");
}
