//! One partition: a split.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use serde::{Deserialize, Serialize};

use crate::dataplane::split::{Position, Read, ReadLimits, Rows, SplitReader};
use crate::model::fault::Fault;
use crate::model::id::SplitName;

use super::client::{Consumer, Context};
use super::columns::MessageDecoder;
use super::faults::{fault, is_transient, no_offset};
use super::partitions::Partition;

/// Where a partition is left: what a checkpoint keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Of the next message.
    pub offset: i64,
    /// A bounded source ends before this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

impl Place {
    pub fn to_position(self) -> Position {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn is_end(&self) -> bool {
        self.end.is_some_and(|end| self.offset >= end)
    }
}

pub struct PartitionReader {
    name: SplitName,
    partition: Partition,
    brokers: String,
    /// Of all partitions of this slot.
    consumer: Arc<Consumer>,
    queue: PartitionQueue<Context>,
    decoder: MessageDecoder,
    place: Place,
    /// As far as the consumer knows it.
    known_end: Arc<AtomicI64>,
}

impl PartitionReader {
    /// `queue` is that of the partition, which is assigned to the consumer at `place`.
    pub fn new(
        partition: Partition,
        brokers: &str,
        consumer: &Arc<Consumer>,
        queue: PartitionQueue<Context>,
        decoder: MessageDecoder,
        place: Place,
    ) -> Self {
        let known_end = consumer.context().end_of(&partition.topic, partition.number);
        let (name, brokers) = (partition.name(), brokers.to_owned());
        Self { name, partition, brokers, consumer: Arc::clone(consumer), queue, decoder, place, known_end }
    }

    /// Serves what concerns no partition: news, and errors that librdkafka cannot deal with.
    fn serve(&self) -> Result<(), Fault> {
        match self.consumer.poll(Duration::ZERO) {
            None => Ok(()),
            Some(Ok(message)) => {
                let (topic, number) = (message.topic(), message.partition());
                Err(Fault::unavailable(format!("a message of partition `{topic}-{number}` came the wrong way")))
            }
            Some(Err(error)) if is_transient(&error) => Ok(()),
            Some(Err(error)) => Err(self.fault(&error)),
        }
    }

    #[cold]
    fn fault(&self, error: &KafkaError) -> Fault {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                no_offset(&self.partition, &self.brokers, self.place.offset)
            }
            _ => fault(&format!("partition `{}`", self.partition), &self.brokers, error, self.consumer.context()),
        }
    }

    /// Takes messages that are there until the limits are reached. Whether the end was met.
    fn fill(&mut self, limits: ReadLimits) -> Result<bool, Fault> {
        let mut bytes = 0;
        while self.decoder.events() < limits.rows_max && bytes < limits.bytes_max && !self.place.is_end() {
            match self.queue.poll(Duration::ZERO) {
                None => return Ok(false),
                Some(Ok(message)) => {
                    let offset = message.offset();
                    if self.place.end.is_some_and(|end| offset >= end) {
                        return Ok(true);
                    }
                    bytes += message.payload_len() + message.key_len();
                    self.decoder.push(&message);
                    self.place.offset = offset + 1;
                }
                // Behind the last message there may be marks of transactions up to the end.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(self.place.end.is_some()),
                Some(Err(error)) if is_transient(&error) => return Ok(false),
                Some(Err(error)) => return Err(self.fault(&error)),
            }
        }
        Ok(self.place.is_end())
    }
}

impl SplitReader for PartitionReader {
    fn name(&self) -> &SplitName {
        &self.name
    }

    /// Nothing: all partitions are read at once, and one that has not been heard holds the watermark back.
    fn peek(&mut self) -> Result<Option<Rows>, Fault> {
        Ok(None)
    }

    fn position(&self) -> Position {
        self.place.to_position()
    }

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault> {
        if self.place.is_end() {
            return Ok(Read::End);
        }
        self.serve()?;
        if self.fill(limits)?
            && let Some(end) = self.place.end
        {
            self.place.offset = self.place.offset.max(end);
        }
        Ok(match self.decoder.events() {
            0 if self.place.is_end() => Read::End,
            0 => Read::Pending,
            _ => Read::Rows(self.decoder.finish()),
        })
    }

    fn lag(&self) -> Option<u64> {
        let end = self.known_end.load(Relaxed);
        (end >= 0).then(|| end.saturating_sub(self.place.offset).max(0).unsigned_abs())
    }
}
