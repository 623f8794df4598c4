//! Sends the payments while the job runs: paced, and no further than the killer has released them.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::input::{PARTITIONS, Payment, TOPICS, account_name, topic_name};

/// Payments are sent in bursts, so many in a second.
const BURSTS_PER_SECOND: u32 = 100;
/// How long the brokers may take to have them all, restarts included.
const DEADLINE: Duration = Duration::from_secs(120);
const FULL: Duration = Duration::from_millis(5);
const ANSWER: Duration = Duration::from_secs(10);

/// How many payments may be sent by now.
#[derive(Default)]
pub struct Gate {
    released: Mutex<Released>,
    changed: Condvar,
}

#[derive(Default)]
struct Released {
    payments: u32,
    is_closed: bool,
}

impl Gate {
    pub fn release(&self, payments: u32) {
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        released.payments = released.payments.max(payments);
        self.changed.notify_all();
    }

    /// Nobody wants any more payments.
    pub fn close(&self) {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until payment number `next` may be sent; false = it never will.
    fn lets(&self, next: u32) -> bool {
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |released: &mut Released| released.payments <= next && !released.is_closed;
        !self.changed.wait_while(released, waits).unwrap_or_else(PoisonError::into_inner).is_closed
    }
}

pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "500");
    config.set_log_level(RDKafkaLogLevel::Critical);
    config
}

/// The topics of payments, and `others` with their partitions.
pub fn create_topics(brokers: &str, others: &[(&str, i32)]) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create()?;
    let payments = (0..TOPICS).map(|topic| (topic_name(topic), PARTITIONS as i32));
    let others = others.iter().map(|(name, partitions)| ((*name).to_owned(), *partitions));
    let topics: Vec<(String, i32)> = payments.chain(others).collect();
    let topics: Vec<NewTopic<'_>> =
        topics.iter().map(|(name, count)| NewTopic::new(name, *count, TopicReplication::Fixed(1))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let created = runtime.block_on(admin.create_topics(&topics, &AdminOptions::new()))?;
    created.into_iter().try_for_each(|topic| match topic {
        Ok(_) => Ok(()),
        Err((name, error)) => bail!("topic `{name}` cannot be created: {error}"),
    })
}

/// How many payments the topics hold.
pub fn held(brokers: &str) -> Result<i64> {
    let consumer: BaseConsumer = client(brokers).create()?;
    let partitions = (0..TOPICS).flat_map(|topic| (0..PARTITIONS as i32).map(move |partition| (topic, partition)));
    let ends = partitions.map(|(topic, partition)| {
        let (_, end) = consumer.fetch_watermarks(&topic_name(topic), partition, ANSWER)?;
        Ok(end)
    });
    ends.sum()
}

/// Keeps the first message that was not delivered.
#[derive(Default)]
struct Deliveries(Mutex<Option<String>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &Result<BorrowedMessage<'_>, (KafkaError, BorrowedMessage<'_>)>, _: ()) {
        if let Err((error, _)) = delivered {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
        }
    }
}

/// Sends all payments, each once, to the partition of its account.
pub fn send(payments: &[Payment], brokers: &str, events_per_second: u32, gate: &Gate) -> Result<()> {
    let mut config = client(brokers);
    config.set("enable.idempotence", "true").set("linger.ms", "5").set("delivery.report.only.error", "true");
    let producer: ThreadedProducer<Deliveries> = config.create_with_context(Deliveries::default())?;
    let topics: Vec<String> = (0..TOPICS).map(topic_name).collect();
    let (mut account, mut json) = (String::new(), Vec::new());
    let burst = (events_per_second / BURSTS_PER_SECOND).max(1);
    let mut next = Instant::now();
    for (sent, payment) in (0u32..).zip(payments) {
        if sent % burst == 0 {
            if !gate.lets(sent) {
                return Ok(());
            }
            // Time that was spent at the gate is not made up for.
            next = (next + Duration::from_secs(1) / BURSTS_PER_SECOND).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        payment.write(&mut account, &mut json);
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&topics[payment.topic() as usize]);
        record.partition = Some(payment.partition() as i32);
        (record.key, record.payload) = (Some(account.as_str()), Some(json.as_slice()));
        while let Err((error, unsent)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).with_context(|| format!("a payment of {}", account_name(payment.account)));
            }
            producer.poll(FULL);
            record = unsent;
        }
    }
    producer.flush(DEADLINE).context("the last payments are not acknowledged")?;
    let failed = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), |error| bail!("a payment was not delivered: {error}"))
}
