//! An idempotent producer: within a run nothing is lost, reordered or sent twice.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use crate::model::fault::Fault;
use crate::plan::connector::KafkaCluster;

use super::client::{self, ANSWER, Context, Property};
use super::faults::fault;
use super::record::Record;

/// Messages that wait for their acknowledgement at most: each takes memory beside its bytes.
const QUEUED_MESSAGES: &str = "100000";
/// How long to wait at a time for room, and for acknowledgements.
const ROOM: Duration = Duration::from_millis(5);
const ACKNOWLEDGED: Duration = Duration::from_millis(1);

/// Set to true by a user who wants brokers to make topics.
const CREATE_TOPICS: &str = "allow.auto.create.topics";

pub struct Producer {
    producer: ThreadedProducer<Context>,
    brokers: String,
    creates_topics: bool,
}

impl Producer {
    /// `queue_bytes_max` of messages wait for their acknowledgement; `more` are settings that nobody may change.
    pub fn open(cluster: &KafkaCluster, queue_bytes_max: u64, more: &[Property]) -> Result<Self, Fault> {
        let queue_kbytes = (queue_bytes_max >> 10).to_string();
        // A topic that is made because its name was mistyped has the wrong partitions, and nobody who reads it.
        let mut config = client::config(cluster, &[(CREATE_TOPICS, "false")])?;
        let own = [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("queue.buffering.max.kbytes", queue_kbytes.as_str()),
            ("queue.buffering.max.messages", QUEUED_MESSAGES),
            ("delivery.report.only.error", "true"),
        ];
        client::set_all(&mut config, &own);
        client::set_all(&mut config, more);
        let creates_topics = config.get(CREATE_TOPICS) == Some("true");
        Ok(Self { producer: client::create(&config)?, brokers: cluster.brokers.clone(), creates_topics })
    }

    /// A topic that is not there is found before anything is written, unless it is to be made.
    pub fn check_topic(&self, topic: &str) -> Result<(), Fault> {
        if self.creates_topics {
            return Ok(());
        }
        let what = format!("topic `{topic}`");
        let fault = |error: &KafkaError| self.fault(&what, error);
        let metadata = self.producer.client().fetch_metadata(Some(topic), ANSWER).map_err(|error| fault(&error))?;
        match metadata.topics().iter().find_map(|topic| topic.error()) {
            None => Ok(()),
            Some(error) => Err(fault(&KafkaError::MetadataFetch(error.into()))),
        }
    }

    /// What librdkafka has for transactions.
    pub fn client(&self) -> &ThreadedProducer<Context> {
        &self.producer
    }

    /// What went wrong with `what`, as a fault.
    pub fn fault(&self, what: &str, error: &KafkaError) -> Fault {
        fault(what, &self.brokers, error, self.context())
    }

    fn context(&self) -> &Context {
        self.producer.client().context()
    }

    /// Takes the message into the queue; waits while the queue is full.
    pub fn send(&self, record: Record<'_>) -> Result<(), Fault> {
        let topic = record.topic;
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        message.key = record.key;
        message.payload = record.value;
        message.headers = record.headers;
        message.timestamp = record.timestamp;
        while let Err((error, unsent)) = self.producer.send(message) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                self.check()?;
                return Err(self.fault(&format!("topic `{topic}`"), &error));
            }
            self.check()?;
            self.producer.poll(ROOM);
            message = unsent;
        }
        Ok(())
    }

    /// Whether everything could be delivered so far.
    pub fn check(&self) -> Result<(), Fault> {
        let Some(undelivered) = self.context().undelivered() else { return Ok(()) };
        if let Some((RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced, _)) =
            self.producer.client().fatal_error()
        {
            return Err(Fault::unavailable(format!(
                "another host has ended the transaction of this one: it runs the job too, or tries to; lost is a message \
                 to {undelivered}"
            )));
        }
        Err(Fault::unavailable(format!(
            "a message to {undelivered}; it may have been tried for `message.timeout.ms` (5 minutes unless it is among \
             the properties): are the brokers `{}` well, and does the topic exist?",
            self.brokers
        )))
    }

    /// Whether the brokers have acknowledged everything.
    pub fn is_flushed(&self) -> Result<bool, Fault> {
        self.check()?;
        Ok(self.producer.in_flight_count() == 0)
    }

    /// Waits until the brokers have acknowledged everything. It ends: what is not acknowledged within
    /// `message.timeout.ms` is a fault.
    pub fn flush(&self) -> Result<(), Fault> {
        // Not librdkafka's own flush, which the binding cuts into steps of 100 ms.
        while !self.is_flushed()? {
            self.producer.poll(ACKNOWLEDGED);
        }
        Ok(())
    }
}
