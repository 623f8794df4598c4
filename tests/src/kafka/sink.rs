//! What a sink writes, and where.

use super::cluster::{Cluster, Message, values};
use crate::harness::Folder;

/// A job that writes the lines of `in.jsonl` to Kafka.
fn job(address: &str, schema: &str, options: &str) -> String {
    format!(
        r#"
        name = "job"
        [sources.in]
        connector = "file"
        path = "in.jsonl"
        format = "json"
        schema = {schema}
        [sinks.out]
        inputs = ["in"]
        connector = "kafka"
        brokers = "{address}"
        {options}
        "#
    )
}

fn run(folder: &Folder, job: &str) {
    let ran = folder.run(job, &["-p", "1"]);
    assert!(ran.success, "{}", ran.stderr);
}

/// Keys of `UtilsTest.testMurmur2` of Apache Kafka, and their hashes.
const MURMUR2: [(&str, i32); 6] = [
    ("21", -973932308),
    ("foobar", -790332482),
    ("a-little-bit-long-string", -985981536),
    ("a-little-bit-longer-string", -1486304829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ("abc", 479470107),
];

#[test]
fn keys_go_where_javas_partitioner_puts_them() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("murmur2", 7);
    let lines: String = MURMUR2.iter().map(|(key, _)| format!("{{\"k\":\"{key}\"}}\n")).collect();
    folder.write("in.jsonl", lines);
    let options = format!("topic = \"{topic}\"\nkey = [\"k\"]\nformat = \"json\"");
    run(&folder, &job(&cluster.address, "{ k = \"text\" }", &options));
    let messages = cluster.read(&topic);
    assert_eq!(messages.len(), MURMUR2.len());
    for (key, hash) in MURMUR2 {
        let message = messages.iter().find(|message| message.key.as_deref() == Some(key)).unwrap();
        assert_eq!(message.partition, Some((hash & i32::MAX) % 7), "{key}");
    }
}

#[test]
fn topic_headers_time_and_value_come_from_columns() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let (one, two) = (cluster.topic("routed", 1), cluster.topic("routed", 1));
    folder.write(
        "in.jsonl",
        format!(
            "{{\"to\":\"{one}\",\"trace\":\"x\",\"at\":\"2026-01-01T00:00:00.5Z\",\"body\":\"line\\nline\"}}\n\
             {{\"to\":\"{two}\",\"at\":\"2026-01-01T00:00:01Z\"}}\n"
        ),
    );
    let schema = "{ to = \"text\", trace = \"text?\", at = \"timestamp\", body = \"text?\" }";
    let options = "topic_column = \"to\"\nheaders = { \"trace-id\" = \"trace\" }\ntimestamp = \"at\"\nvalue = [\"body\"]\nformat = \"raw\"";
    run(&folder, &job(&cluster.address, schema, options));
    let expected = Message {
        partition: Some(0),
        value: Some("line\nline".to_owned()),
        headers: vec![("trace-id".to_owned(), Some("x".to_owned()))],
        timestamp: Some(1_767_225_600_500),
        ..Message::default()
    };
    assert_eq!(cluster.read(&one), [expected]);
    let expected = Message { partition: Some(0), timestamp: Some(1_767_225_601_000), ..Message::default() };
    assert_eq!(cluster.read(&two), [expected]);
}

#[test]
fn a_full_queue_waits_and_loses_nothing() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("queue", 2);
    let payload = "x".repeat(500);
    let line = |n: usize| format!("{{\"k\":\"{}\",\"n\":{n},\"x\":\"{payload}\"}}", n % 10);
    let lines: Vec<String> = (0..20_000).map(line).collect();
    folder.write("in.jsonl", lines.join("\n"));
    let options = format!("topic = \"{topic}\"\nkey = [\"k\"]\nformat = \"json\"\nqueue_bytes_max = \"64KiB\"");
    run(&folder, &job(&cluster.address, "{ k = \"text\", n = \"i64\", x = \"text\" }", &options));
    let messages = cluster.read(&topic);
    let mut read: Vec<String> = values(&messages).into_values().flatten().collect();
    // Each key's in their order.
    for key in 0..10 {
        let of_key = |line: &&String| line.starts_with(&format!("{{\"k\":\"{key}\""));
        assert!(read.iter().filter(of_key).eq(lines.iter().filter(of_key)));
    }
    let mut expected = lines;
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
}
