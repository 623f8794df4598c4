//! The broker that all tests share, and a client of it that is not Wasmill's.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use wasmill_broker::Broker;

/// How long the broker may take for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// A broker, as a test sees it.
pub struct Cluster {
    pub address: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// To send: `None` = the producer chooses.
    pub partition: Option<i32>,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, Option<String>)>,
    pub timestamp: Option<i64>,
}

impl Message {
    pub fn new(value: &str) -> Self {
        Self { value: Some(value.to_owned()), ..Self::default() }
    }

    pub fn at(value: &str, partition: i32) -> Self {
        Self { partition: Some(partition), ..Self::new(value) }
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            partition: Some(message.partition()),
            offset: message.offset(),
            key: message.key().map(text),
            value: message.payload().map(text),
            headers: headers.map(|header| (header.key.to_owned(), header.value.map(text))).collect(),
            timestamp: message.timestamp().to_millis(),
        }
    }
}

impl Cluster {
    /// Started by the first test that asks; it ends with the process.
    pub fn shared() -> Self {
        static BROKER: OnceLock<Broker> = OnceLock::new();
        Self::of(BROKER.get_or_init(|| Broker::start(1).unwrap()))
    }

    pub fn of(broker: &Broker) -> Self {
        Self { address: broker.address() }
    }

    /// Of all of them.
    pub fn of_all(brokers: &[Broker]) -> Self {
        Self { address: brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",") }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    fn admin<T>(&self, act: impl AsyncFnOnce(&AdminClient<DefaultClientContext>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let admin: AdminClient<_> = self.config().create().unwrap();
        runtime.block_on(act(&admin))
    }

    /// A new topic of that many partitions, whose name starts with `name`.
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}", TOPICS.fetch_add(1, Relaxed));
        self.create_topic(&name, partitions);
        name
    }

    /// With as many replicas as the cluster gives by default.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let created = self.admin(async |admin| admin.create_topics([&topic], &AdminOptions::new()).await);
        assert_eq!(created.unwrap()[0], Ok(name.to_owned()));
    }

    /// Until a topic has that many partitions.
    pub fn add_partitions(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let added = self.admin(async |admin| admin.create_partitions([&more], &AdminOptions::new()).await);
        assert_eq!(added.unwrap()[0], Ok(topic.to_owned()));
    }

    /// Deletes what stands before an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        self.admin(async |admin| admin.delete_records(&before, &AdminOptions::new()).await).unwrap();
    }

    /// Returns when the broker has them all.
    pub fn send(&self, topic: &str, messages: &[Message]) {
        // A batch that is sent again does not come behind one that was sent after it.
        let producer: BaseProducer = self.config().set("enable.idempotence", "true").create().unwrap();
        messages.iter().for_each(|message| enqueue(&producer, topic, message));
        producer.flush(DEADLINE).unwrap();
    }

    /// In one transaction, which is committed or aborted.
    pub fn send_in_transaction(&self, topic: &str, messages: &[Message], commit: bool) {
        let producer: BaseProducer = self.config().set("transactional.id", topic).create().unwrap();
        producer.init_transactions(DEADLINE).unwrap();
        producer.begin_transaction().unwrap();
        messages.iter().for_each(|message| enqueue(&producer, topic, message));
        producer.flush(DEADLINE).unwrap();
        if commit {
            producer.commit_transaction(DEADLINE).unwrap();
        } else {
            producer.abort_transaction(DEADLINE).unwrap();
        }
    }

    /// As a group that has read a partition up to an offset.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut read = TopicPartitionList::new();
        read.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        consumer.commit(&read, CommitMode::Sync).unwrap();
    }

    pub fn delete_topic(&self, topic: &str) {
        let deleted = self.admin(async |admin| admin.delete_topics(&[topic], &AdminOptions::new()).await);
        assert_eq!(deleted.unwrap()[0], Ok(topic.to_owned()));
    }

    /// The broker that leads a topic's first partition.
    pub fn leader(&self, topic: &str) -> i32 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        consumer.fetch_metadata(Some(topic), DEADLINE).unwrap().topics()[0].partitions()[0].leader()
    }

    /// Whether no transaction is open: readers of committed messages can read to the end.
    pub fn is_decided(&self, topic: &str) -> bool {
        let ends = |isolation: &str| {
            let mut config = self.config();
            config.set("group.id", "tests").set("isolation.level", isolation);
            let consumer: BaseConsumer = config.create().unwrap();
            let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).unwrap();
            let partitions = 0..metadata.topics()[0].partitions().len();
            let end = |partition: usize| consumer.fetch_watermarks(topic, partition as i32, DEADLINE).unwrap().1;
            partitions.map(end).collect::<Vec<i64>>()
        };
        ends("read_committed") == ends("read_uncommitted")
    }

    /// Where a group is in a partition; `None` = it has committed nothing.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let answer = consumer.committed_offsets(asked, DEADLINE).unwrap();
        answer.find_partition(topic, partition).and_then(|found| found.offset().to_raw()).filter(|offset| *offset >= 0)
    }

    /// All committed messages of a topic, by partition and in their order.
    pub fn read(&self, topic: &str) -> Vec<Message> {
        let mut config = self.config();
        config.set("group.id", "tests").set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (mut messages, mut ended) = (Vec::new(), 0);
        while ended < partitions {
            match consumer.poll(DEADLINE).expect("an answer within the deadline") {
                Ok(message) => messages.push(Message::of(&message)),
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                // The broker may be away for a while.
                Err(_) => {}
            }
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }

    /// The same, as soon as there are so many.
    pub fn wait_for(&self, topic: &str, messages: usize) -> Vec<Message> {
        let deadline = std::time::Instant::now() + DEADLINE;
        loop {
            let read = self.read(topic);
            if read.len() >= messages {
                return read;
            }
            assert!(std::time::Instant::now() < deadline, "{} of {messages} messages in `{topic}`", read.len());
        }
    }
}

fn enqueue(producer: &BaseProducer, topic: &str, message: &Message) {
    let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic);
    record.partition = message.partition;
    record.key = message.key.as_deref();
    record.payload = message.value.as_deref();
    record.timestamp = message.timestamp;
    let headers = message
        .headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: value.as_ref() }));
    record.headers = (!message.headers.is_empty()).then_some(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

/// The values of messages, by partition.
pub fn values(messages: &[Message]) -> BTreeMap<i32, Vec<String>> {
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for message in messages {
        values.entry(message.partition.unwrap()).or_default().extend(message.value.clone());
    }
    values
}
