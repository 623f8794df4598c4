//! A cluster of three brokers that loses one, and with it the leader of partitions and what else it did for the others.

use std::collections::BTreeMap;
use std::thread;

use serde_json::{Value, json};
use wasmill_broker::Broker;

use super::cluster::{Cluster, Message};
use super::copy::QUICK;
use super::exactly_once::commit_topic;
use crate::harness::{Folder, Running};

const KEYS: usize = 7;
const PART: usize = 2_000;

/// Of each value the largest and the mean of its key so far.
fn folded(address: &str, from: &str, to: &str) -> String {
    format!(
        r#"
        name = "job"
        [checkpoints]
        interval = "2s"
        [sources.in]
        connector = "kafka"
        brokers = "{address}"
        topics = ["{from}"]
        format = "json"
        schema = {{ key = "text", value = "i64" }}
        properties = {QUICK}
        [operators.fold]
        inputs = ["in"]
        key_by = ["key"]
        plugin = "plugins/kinds.wasm"
        operator = "fold"
        [sinks.out]
        inputs = ["fold"]
        connector = "kafka"
        brokers = "{address}"
        topic = "{to}"
        key = ["key"]
        value = ["value", "largest", "mean"]
        format = "json"
        delivery = "exactly-once"
        properties = {QUICK}
        "#
    )
}

/// Of each key the numbers that belong to it, as they grow.
fn messages(numbers: std::ops::Range<usize>) -> Vec<Message> {
    let message = |n: usize| {
        let key = (n % KEYS).to_string();
        let value = json!({ "key": key, "value": n }).to_string();
        Message { key: Some(key), ..Message::new(&value) }
    };
    numbers.map(message).collect()
}

/// By key, in their order: value, largest and mean.
type Rows = BTreeMap<String, Vec<[f64; 3]>>;

/// What comes of the numbers below `count`.
fn expected(count: usize) -> Rows {
    let mut rows = Rows::new();
    for n in 0..count {
        let (first, value) = ((n % KEYS) as f64, n as f64);
        rows.entry((n % KEYS).to_string()).or_default().push([value, value, (first + value) / 2.0]);
    }
    rows
}

fn found(cluster: &Cluster, topic: &str) -> Rows {
    let mut rows = Rows::new();
    for message in cluster.read(topic) {
        let row: Value = serde_json::from_str(&message.value.unwrap()).unwrap();
        let row = ["value", "largest", "mean"].map(|column| row[column].as_f64().unwrap());
        rows.entry(message.key.unwrap()).or_default().push(row);
    }
    rows
}

#[test]
fn the_leader_of_the_decisions_dies_in_the_middle_of_an_epoch() {
    let mut brokers = Broker::start_three(1).unwrap();
    let (cluster, folder) = (Cluster::of_all(&brokers), Folder::new());
    let (from, to) = (cluster.topic("from", 3), cluster.topic("to", 3));
    cluster.send(&from, &messages(0..PART));
    let job = folded(&cluster.address, &from, &to);
    let (mut running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    cluster.wait_for(&to, PART);
    let leader = cluster.leader(&commit_topic(&folder));
    cluster.send(&from, &messages(PART..2 * PART));
    while cluster.is_decided(&to) {
        thread::yield_now();
    }
    brokers.iter_mut().find(|broker| broker.id() == leader).unwrap().kill().unwrap();
    cluster.send(&from, &messages(2 * PART..3 * PART));
    cluster.wait_for(&to, 3 * PART);
    running.interrupt();
    assert!(running.succeeded(), "{}", std::fs::read_to_string(folder.path().join("stderr")).unwrap());

    let rows = found(&cluster, &to);
    assert!(rows == expected(3 * PART), "{} rows", rows.values().map(Vec::len).sum::<usize>());
    assert!(cluster.is_decided(&to), "a transaction is open");
}
