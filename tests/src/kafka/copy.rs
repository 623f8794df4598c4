//! A job that copies one topic into another, and what there must be at its end.

use super::cluster::{Cluster, Message};

const KEYS: usize = 7;

/// A client that looks for a broker which comes back more often than once a second.
pub const QUICK: &str = r#"{ "reconnect.backoff.max.ms" = 200 }"#;

/// Every message of a topic, to the partition of its key in another.
pub fn copy(address: &str, from: &str, to: &str, properties: &str) -> String {
    format!(
        r#"
        name = "job"
        [sources.in]
        connector = "kafka"
        brokers = "{address}"
        topics = ["{from}"]
        format = "raw"
        metadata = {{ key = "k" }}
        properties = {properties}
        [sinks.out]
        inputs = ["in"]
        connector = "kafka"
        brokers = "{address}"
        topic = "{to}"
        key = ["k"]
        value = ["value"]
        format = "raw"
        properties = {properties}
        "#,
    )
}

/// The same in transactions.
pub fn copy_exactly_once(address: &str, from: &str, to: &str, properties: &str) -> String {
    copy(address, from, to, properties) + "delivery = \"exactly-once\"\n[checkpoints]\ninterval = \"50ms\"\n"
}

/// Messages of these numbers, for `each_once_and_in_order`.
pub fn messages(numbers: std::ops::Range<usize>) -> Vec<Message> {
    let message = |n: usize| Message { key: Some((n % KEYS).to_string()), ..Message::new(&n.to_string()) };
    numbers.map(message).collect()
}

/// Whether a topic has the messages of the numbers below `count`.
pub fn each_once_and_in_order(cluster: &Cluster, topic: &str, count: usize) {
    are_in_order(&cluster.read(topic), count);
    assert!(cluster.is_decided(topic), "a transaction is open");
}

/// Whether these are the messages of the numbers below `count`.
pub fn are_in_order(read: &[Message], count: usize) {
    for key in 0..KEYS {
        let of_key = |message: &&Message| message.key == Some(key.to_string());
        let values = read.iter().filter(of_key).map(|message| message.value.clone().unwrap());
        assert!(values.eq((0..count).filter(|n| n % KEYS == key).map(|n| n.to_string())), "key {key}");
    }
    assert_eq!(read.len(), count, "nothing lost, nothing twice");
}
