//! The main job between topics: what comes out is the oracle's, where Java's partitioner would put it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cluster::{Cluster, Message, values};
use crate::harness::Folder;
use crate::jobs::clicks::{oracle, result};

const CLICKS: &str = "60000";
const PARTITIONS: i32 = 3;

fn job(address: &str, clicks: &str, counts: &str) -> String {
    format!(
        r#"
        name = "job"
        [sources.clicks]
        connector = "kafka"
        brokers = "{address}"
        topics = ["{clicks}"]
        format = "json"
        bounded = true
        event_time = {{ column = "timestamp", unit = "ms" }}
        watermark = {{ out_of_orderness = "5s" }}

        [operators.checked]
        inputs = ["clicks"]
        plugin = "plugins/clicks.wasm"
        operator = "check-click"

        [operators.per_ad]
        inputs = ["checked"]
        key_by = ["ad_id"]
        window = {{ tumbling = "5m" }}
        aggregate = {{ clicks = "count()", rate = {{ plugin = "plugins/click-rate.wasm", operator = "click-rate" }} }}

        [sinks.counts]
        inputs = ["per_ad"]
        connector = "kafka"
        brokers = "{address}"
        topic = "{counts}"
        key = ["ad_id"]
        timestamp = "window_end"
        format = "json"

        [sinks.rejected]
        inputs = ["checked.rejected"]
        connector = "blackhole"
        "#
    )
}

#[test]
fn counts_are_the_oracles_at_any_parallelism() {
    let cluster = Cluster::shared();
    let folder = Folder::new();
    let made = folder.call(&["generate", "clicks", "--count", CLICKS, "--out", "clicks.jsonl"]);
    assert!(made.success, "{}", made.stderr);
    let text = std::fs::read_to_string(folder.path().join("clicks.jsonl")).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let clicks = cluster.topic("clicks", PARTITIONS);
    let round: Vec<i32> = (0..PARTITIONS).collect();
    let messages = lines.iter().zip(round.iter().cycle()).map(|(line, partition)| Message::at(line, *partition));
    cluster.send(&clicks, &messages.collect::<Vec<_>>());

    let expected = oracle(&lines);
    for parallelism in ["1", "2", "3"] {
        let counts = cluster.topic("counts", PARTITIONS);
        let ran = folder.run(&job(&cluster.address, &clicks, &counts), &["-p", parallelism]);
        assert!(ran.success, "{}", ran.stderr);
        let rows = cluster.read(&counts);
        for message in &rows {
            let row: Value = serde_json::from_str(message.value.as_ref().unwrap()).unwrap();
            assert_eq!(message.key.as_deref(), row["ad_id"].as_str());
            let end = chrono::DateTime::parse_from_rfc3339(row["window_end"].as_str().unwrap()).unwrap();
            assert_eq!(message.timestamp, Some(end.timestamp_millis()));
        }
        in_order_of_each_key(&rows);
        let rows: Vec<String> = values(&rows).into_values().flatten().collect();
        assert_eq!(result(&rows), expected, "at parallelism {parallelism}");
        assert!(folder.dead_letters().is_empty());
    }
}

fn in_order_of_each_key(rows: &[Message]) {
    let mut last: BTreeMap<&str, (i32, i64)> = BTreeMap::new();
    for row in rows {
        let key = row.key.as_deref().unwrap();
        let now = (row.partition.unwrap(), row.timestamp.unwrap());
        if let Some(last) = last.insert(key, now) {
            assert!(last.0 == now.0 && last.1 < now.1, "{key}: {last:?}, then {now:?}");
        }
    }
}
