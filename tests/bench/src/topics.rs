//! Topics seen from outside: made, weighed, and timed by a client that is not Wasmill's.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

/// How long the broker may take for anything, and the last event until it has come out.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Subcommand)]
pub enum Topics {
    /// Creates topics
    Create {
        #[arg(required = true)]
        topics: Vec<String>,
        #[arg(long, default_value_t = 4)]
        partitions: i32,
    },
    /// The committed messages of a topic: how many, a hash of them whatever their order, and the sum of the last `count`
    /// of each key
    Weigh { topic: String },
    /// Sends events at a steady rate, and says how long after its creation each one came out
    Latency {
        #[arg(long)]
        to: String,
        #[arg(long)]
        from: String,
        /// Events a second
        #[arg(long, default_value_t = 20_000)]
        rate: u64,
        /// Those that are timed
        #[arg(long)]
        events: u64,
        /// Those before, which are not
        #[arg(long, default_value_t = 100_000)]
        warm: u64,
    },
}

impl Topics {
    pub fn run(self, brokers: &str) -> Result<Value> {
        match self {
            Self::Create { topics, partitions } => create(brokers, &topics, partitions),
            Self::Weigh { topic } => weigh(brokers, &topic),
            Self::Latency { to, from, rate, events, warm } => latency(brokers, &to, &from, rate, events, warm),
        }
    }
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

fn create(brokers: &str, topics: &[String], partitions: i32) -> Result<Value> {
    let admin: AdminClient<DefaultClientContext> = config(brokers).create()?;
    let new: Vec<_> = topics.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let created = runtime.block_on(async { admin.create_topics(&new, &AdminOptions::new()).await })?;
    for topic in created {
        topic.map_err(|(topic, code)| anyhow::anyhow!("cannot create `{topic}`: {code}"))?;
    }
    Ok(json!({ "created": topics.len() }))
}

/// Reads what is committed, every partition from its beginning.
fn reader(brokers: &str, topic: &str) -> Result<(BaseConsumer, usize)> {
    let mut config = config(brokers);
    config.set("group.id", "bench").set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    ensure!(partitions > 0, "there is no topic `{topic}`");
    let mut all = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok((consumer, partitions))
}

fn weigh(brokers: &str, topic: &str) -> Result<Value> {
    let (consumer, partitions) = reader(brokers, topic)?;
    let (mut messages, mut hash, mut ended) = (0_u64, 0_u64, 0);
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut heard = Instant::now();
    while ended < partitions {
        // What is no message ends a wait too.
        let Some(polled) = consumer.poll(DEADLINE) else {
            ensure!(heard.elapsed() < DEADLINE, "`{topic}` has no end within {DEADLINE:?}");
            continue;
        };
        heard = Instant::now();
        match polled {
            Ok(message) => {
                let value = message.payload().unwrap_or_default();
                let mut hasher = DefaultHasher::new();
                value.hash(&mut hasher);
                hash = hash.wrapping_add(hasher.finish());
                messages += 1;
                if let Some(count) = number(value, "count") {
                    let last = counts.entry(message.key().unwrap_or_default().to_vec()).or_default();
                    *last = (*last).max(count.unsigned_abs());
                }
            }
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let counted: u64 = counts.values().sum();
    Ok(json!({ "messages": messages, "hash": format!("{hash:016x}"), "counted": counted }))
}

/// A field of a JSON object whose value is a whole number; a parser would make the bench wait for this client.
fn number(object: &[u8], field: &str) -> Option<i64> {
    let object = std::str::from_utf8(object).ok()?;
    let (_, rest) = object.split_once(&format!("\"{field}\":"))?;
    rest[..rest.find([',', '}'])?].trim().parse().ok()
}

/// Events carry when they were due, in microseconds, as their `timestamp`; what comes out has it as `timestamp` or, of a
/// count, as `value`. Nothing has been written to `from` before.
fn latency(brokers: &str, to: &str, from: &str, rate: u64, events: u64, warm: u64) -> Result<Value> {
    let (consumer, _) = reader(brokers, from)?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(brokers, to, rate, warm + events));
        let mut late = Vec::new();
        let (mut received, mut heard) = (0, Instant::now());
        while received < warm + events {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default();
                    let created = number(value, "timestamp").or_else(|| number(value, "value"));
                    let created = created.with_context(|| format!("no time in {}", String::from_utf8_lossy(value)))?;
                    received += 1;
                    heard = Instant::now();
                    if received > warm {
                        late.push(micros() - created);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {
                    ensure!(heard.elapsed() < DEADLINE, "{received} of {} events came out", warm + events);
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        sender.join().expect("the sender's panic")?;
        late.sort_unstable();
        let quantile = |q: f64| late[((late.len() - 1) as f64 * q) as usize] as f64 / 1e3;
        Ok(json!({ "events": late.len(), "p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "max_ms": quantile(1.0) }))
    })
}

fn send(brokers: &str, topic: &str, rate: u64, events: u64) -> Result<()> {
    let producer: BaseProducer = config(brokers).set("linger.ms", "1").create()?;
    let (started, began) = (Instant::now(), micros());
    let payload = "0".repeat(200);
    for i in 0..events {
        let due = Duration::from_secs_f64(i as f64 / rate as f64);
        while started.elapsed() < due {
            producer.poll(Duration::ZERO);
            thread::sleep(Duration::from_micros(500));
        }
        let key = format!("{:016x}", i % 1_000);
        let created = began + due.as_micros() as i64;
        let event = format!(r#"{{"key":"{key}","timestamp":{created},"value":0,"payload":"{payload}"}}"#);
        let mut record = BaseRecord::to(topic).key(&key).payload(&event);
        while let Err((error, unsent)) = producer.send(record) {
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "cannot send: {error}");
            producer.poll(Duration::from_millis(1));
            record = unsent;
        }
    }
    producer.flush(DEADLINE).context("the last events are not sent")
}

fn micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_objects() {
        let object = br#"{"key":"a","count":12,"value":-3}"#;
        assert_eq!((number(object, "count"), number(object, "value")), (Some(12), Some(-3)));
        assert_eq!((number(object, "timestamp"), number(object, "key")), (None, None));
    }
}
