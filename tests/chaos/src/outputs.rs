//! Reads a topic that the job writes as a consumer of committed messages does, while it is written and to its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::feed::client;
use crate::oracle::Tally;

const WAIT: Duration = Duration::from_millis(100);
/// How long the broker may take for anything at the end.
const DEADLINE: Duration = Duration::from_secs(60);
/// Who follows is told at the end of each partition, and after so many rows.
const ROWS_UNTOLD_MAX: u64 = 500;

pub struct Follower<'a> {
    topic: &'static str,
    brokers: String,
    consumer: BaseConsumer,
    tally: Tally<'a>,
    /// What is read next, by partition.
    next: BTreeMap<i32, i64>,
}

fn consumer(brokers: &str, isolation: &str) -> Result<BaseConsumer> {
    let mut config = client(brokers);
    config.set("group.id", "chaos").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "error").set("isolation.level", isolation).set("fetch.wait.max.ms", "50");
    Ok(config.create()?)
}

impl<'a> Follower<'a> {
    pub fn open(brokers: &str, topic: &'static str, partitions: i32, tally: Tally<'a>) -> Result<Self> {
        let consumer = consumer(brokers, "read_committed")?;
        let next = (0..partitions).map(|partition| (partition, 0)).collect();
        let follower = Self { topic, brokers: brokers.to_owned(), consumer, tally, next };
        follower.assign()?;
        Ok(follower)
    }

    fn assign(&self) -> Result<()> {
        let mut all = TopicPartitionList::new();
        for (partition, next) in &self.next {
            all.add_partition_offset(self.topic, *partition, Offset::Offset(*next))?;
        }
        Ok(self.consumer.assign(&all)?)
    }

    /// Checks rows as they come, and tells how many have, until it is over.
    pub fn follow(&mut self, is_over: &AtomicBool, mut tell: impl FnMut(u64)) -> Result<()> {
        let mut told = 0;
        while !is_over.load(Relaxed) {
            let is_at_end = self.read(WAIT)?.is_some();
            let rows = self.tally.rows();
            if rows > told && (is_at_end || rows - told >= ROWS_UNTOLD_MAX) {
                told = rows;
                tell(rows);
            }
        }
        Ok(())
    }

    /// Reads at most one row; returns the partition whose end was reached, if that happened.
    fn read(&mut self, wait: Duration) -> Result<Option<i32>> {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                self.next.insert(partition, offset + 1);
                let value = message.payload().context("a message without a value")?;
                self.tally.row(value).with_context(|| format!("partition {partition}, offset {offset}"))?;
                Ok(None)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Some(partition)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error.into()),
            // The broker may be away for a while.
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Reads what is left, when nobody writes any more.
    pub fn finish(mut self) -> Result<u64> {
        self.check_all_is_decided()?;
        self.assign()?;
        let mut open: Vec<i32> = self.next.keys().copied().collect();
        let deadline = Instant::now() + DEADLINE;
        while !open.is_empty() {
            ensure!(Instant::now() < deadline, "partitions {open:?} are not read to their end within {DEADLINE:?}");
            if let Some(ended) = self.read(WAIT)? {
                open.retain(|partition| *partition != ended);
            }
        }
        self.tally.finish()?;
        Ok(self.tally.rows())
    }

    /// The last stable offset is the end: no transaction is left open.
    fn check_all_is_decided(&self) -> Result<()> {
        let uncommitted = consumer(&self.brokers, "read_uncommitted")?;
        for partition in self.next.keys() {
            let stable = self.end(&self.consumer, *partition)?;
            let end = self.end(&uncommitted, *partition)?;
            if stable != end {
                bail!("partition {partition} ends at {end}, and is only decided up to {stable}");
            }
        }
        Ok(())
    }

    /// The broker may have been away, and not know yet who leads a partition.
    fn end(&self, consumer: &BaseConsumer, partition: i32) -> Result<i64> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match consumer.fetch_watermarks(self.topic, partition, DEADLINE) {
                Ok((_, end)) => return Ok(end),
                Err(_) if Instant::now() < deadline => thread::sleep(WAIT),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
