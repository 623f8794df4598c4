//! The topic that the decisions of a job stand in: one partition, compacted, a message for the last claim and one for the
//! last complete checkpoint.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::model::decision::{Decision, Record};
use crate::model::fault::Fault;
use crate::plan::connector::KafkaCluster;

use super::client::{self, ANSWER, Consumer, Context};
use super::faults::{fault, has_no_leader, is_transient};
use super::record;
use super::transaction::Transaction;

const PARTITION: i32 = 0;
/// How long to read until it is certain what stands at the end.
const READ: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);
/// Only closed segments are compacted.
const SEGMENT_MILLIS: &str = "600000";

pub struct CommitTopic<'a> {
    pub name: String,
    cluster: &'a KafkaCluster,
}

/// What stands in the topic.
#[derive(Default)]
pub struct Decided {
    /// `None` = there is none.
    pub last: Option<Record>,
    /// The ids that the last claim named.
    pub claimed_ids: Vec<String>,
}

impl<'a> CommitTopic<'a> {
    pub fn of(job_id: Uuid, cluster: &'a KafkaCluster) -> Self {
        Self { name: format!("wasmill-{job_id}"), cluster }
    }

    fn fault(&self, error: &KafkaError, context: &Context) -> Fault {
        fault(&format!("topic `{}`", self.name), &self.cluster.brokers, error, context)
    }

    fn consumer(&self, isolation: &str) -> Result<Consumer, Fault> {
        let mut config = client::config(self.cluster, &[])?;
        let own = [
            ("group.id", client::NO_GROUP),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            ("allow.auto.create.topics", "false"),
            ("isolation.level", isolation),
        ];
        client::set_all(&mut config, &own);
        client::create(&config)
    }

    /// Creates it if it is not there, and checks that it keeps what it has to.
    pub fn ensure(&self) -> Result<(), Fault> {
        let consumer = self.consumer("read_uncommitted")?;
        let admin: AdminClient<Context> = client::create(&client::config(self.cluster, &[])?)?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        if !self.exists(&consumer)? {
            self.create(&admin, &options)?;
        }
        let specifier = [ResourceSpecifier::Topic(&self.name)];
        let deadline = Instant::now() + ANSWER;
        loop {
            let described = pollster::block_on(admin.describe_configs(&specifier, &options));
            let described = described.map_err(|error| self.fault(&error, admin.inner().context()))?.pop();
            let found = described.and_then(Result::ok);
            match found.as_ref().and_then(|found| found.get("cleanup.policy")?.value.as_deref()) {
                Some("compact") => return Ok(()),
                // A topic that has just been created is not known everywhere.
                None if Instant::now() < deadline => thread::sleep(PAUSE),
                policy => return Err(self.wrong(policy)),
            }
        }
    }

    fn exists(&self, consumer: &Consumer) -> Result<bool, Fault> {
        let fault = |error: &KafkaError| self.fault(error, client::reasons(consumer));
        let metadata = consumer.fetch_metadata(Some(&self.name), ANSWER).map_err(|error| fault(&error))?;
        match metadata.topics().first().and_then(|topic| topic.error()).map(Code::from) {
            Some(Code::UnknownTopicOrPartition) => Ok(false),
            // It has no leader yet.
            None | Some(Code::LeaderNotAvailable) => Ok(true),
            Some(error) => Err(fault(&KafkaError::MetadataFetch(error))),
        }
    }

    fn create(&self, admin: &AdminClient<Context>, options: &AdminOptions) -> Result<(), Fault> {
        let fault = |error: &KafkaError| self.fault(error, admin.inner().context());
        // As many replicas as the cluster gives by default.
        let topic = NewTopic::new(&self.name, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("segment.ms", SEGMENT_MILLIS);
        let created = pollster::block_on(admin.create_topics([&topic], options)).map_err(|error| fault(&error))?;
        match created.into_iter().next() {
            Some(Err((_, error))) if error != Code::TopicAlreadyExists => Err(fault(&KafkaError::Global(error))),
            _ => Ok(()),
        }
    }

    fn wrong(&self, policy: Option<&str>) -> Fault {
        Fault::invalid(format!(
            "topic `{}` at `{}` holds the decisions on this job's checkpoints: its `cleanup.policy` must be `compact`, and is \
             {}",
            self.name,
            self.cluster.brokers,
            policy.unwrap_or("not to be seen, for which the user of `properties` needs `DescribeConfigs` on it")
        ))
    }

    /// What was decided last. All who could decide have been fenced: then everything in the topic is decided soon.
    pub fn read(&self) -> Result<Decided, Fault> {
        let deadline = Instant::now() + READ;
        let end = self.end(&self.consumer("read_uncommitted")?, deadline)?;
        let consumer = self.consumer("read_committed")?;
        loop {
            let decided = self.end(&consumer, deadline)?;
            if decided >= end {
                break;
            }
            let why =
                format!("a transaction is open at offset {decided}, and nothing behind it can be read, up to {end}");
            self.wait(deadline, PAUSE, &why)?;
        }
        let mut all = TopicPartitionList::new();
        let assigned = all.add_partition_offset(&self.name, PARTITION, Offset::Beginning);
        assigned.and_then(|()| consumer.assign(&all)).map_err(|error| self.fault(&error, consumer.context()))?;
        let mut decided = Decided::default();
        loop {
            match consumer.poll(PAUSE) {
                Some(Ok(message)) => {
                    let record = Record::parse(message.payload().unwrap_or_default());
                    let record = record.map_err(|error| self.unreadable(message.offset(), &error))?;
                    if let Decision::Claim { .. } = record.decision {
                        decided.claimed_ids.clone_from(&record.transactional_ids);
                    }
                    decided.last = Some(record);
                }
                // Which was behind `end` when the first message was asked for.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(decided),
                Some(Err(error)) if !is_transient(&error) => return Err(self.fault(&error, consumer.context())),
                Some(Err(error)) => self.wait(deadline, Duration::ZERO, &error.to_string())?,
                None => self.wait(deadline, Duration::ZERO, "no message has come")?,
            }
        }
    }

    /// The offset behind the last message, or behind the last one that is decided, as the consumer is isolated.
    fn end(&self, consumer: &Consumer, deadline: Instant) -> Result<i64, Fault> {
        loop {
            match consumer.fetch_watermarks(&self.name, PARTITION, ANSWER) {
                Ok((_, end)) => return Ok(end),
                Err(error) if is_transient(&error) || has_no_leader(&error) => {
                    self.wait(deadline, PAUSE, &error.to_string())?;
                }
                Err(error) => return Err(self.fault(&error, client::reasons(consumer))),
            }
        }
    }

    fn wait(&self, deadline: Instant, pause: Duration, why: &str) -> Result<(), Fault> {
        if Instant::now() >= deadline {
            return Err(Fault::unavailable(format!(
                "topic `{}` at `{}` could not be read to its end within {READ:?}, so it is not known what was decided \
                 last: {why}",
                self.name, self.cluster.brokers
            )));
        }
        thread::sleep(pause);
        Ok(())
    }

    fn unreadable(&self, offset: i64, error: &str) -> Fault {
        Fault::unrestorable(format!("topic `{}`, offset {offset}, is no decision on a checkpoint: {error}", self.name))
    }
}

/// Writes a record into the topic, as part of the transaction.
pub fn send(topic: &str, record: &Record, transaction: &Transaction) -> Result<(), Fault> {
    let key = match record.decision {
        Decision::Claim { .. } => "claim",
        Decision::Complete { .. } => "complete",
    };
    let value = record.to_bytes()?;
    transaction.send(record::Record {
        topic,
        key: Some(key.as_bytes()),
        value: Some(&value),
        headers: None,
        timestamp: None,
    })
}
