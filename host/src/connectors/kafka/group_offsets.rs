//! How far a job's checkpoints have come, as the committed offsets of its source's group: for tools that show lag. Where a
//! job goes on from stands in its checkpoints.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::connectors::Offsets;
use crate::dataplane::split::SplitState;
use crate::model::fault::Fault;
use crate::plan::connector::KafkaSource;

use super::client::{self, Consumer};
use super::partition::Place;
use super::partitions::Partition;

pub struct GroupOffsets {
    consumer: Consumer,
}

impl GroupOffsets {
    /// `None` = the source names no group.
    pub fn open(source: &KafkaSource) -> Result<Option<Box<dyn Offsets>>, Fault> {
        if source.group.is_none() {
            return Ok(None);
        }
        Ok(Some(Box::new(Self { consumer: client::consumer(source)? })))
    }
}

impl Offsets for GroupOffsets {
    fn report(&mut self, splits: &[SplitState]) {
        let mut offsets = TopicPartitionList::new();
        for split in splits {
            let place = split.position.clone().and_then(|position| serde_json::from_value::<Place>(position).ok());
            if let (Some(partition), Some(place)) = (Partition::of(&split.name), place) {
                let offset = Offset::Offset(place.offset);
                // An offset cannot be refused.
                let _ = offsets.add_partition_offset(&partition.topic, partition.number, offset);
            }
        }
        // The answers of the last time.
        self.consumer.poll(Duration::ZERO);
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            tracing::debug!("offsets are not committed to the source's group: {error}");
        }
    }
}
