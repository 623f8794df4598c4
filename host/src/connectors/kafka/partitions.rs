//! What a source asks its cluster: which partitions there are, where they start and where they end.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use regex::RegexSet;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot, SplitName};
use crate::plan::connector::{KafkaSource, KafkaStart};

use super::client::{self, ANSWER, Consumer};
use super::faults::{fault, has_no_leader, no_offset};

/// Between questions to a partition that has no leader.
const ELECTION: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    pub topic: String,
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.number)
    }
}

impl Partition {
    /// `topic-partition`, as Kafka's own tools write it.
    pub fn name(&self) -> SplitName {
        SplitName::from(self.to_string().as_str())
    }

    /// The partition of this name; topics may have a `-` of their own.
    pub fn of(name: &SplitName) -> Option<Self> {
        let (topic, number) = name.as_str().rsplit_once('-')?;
        Some(Self { topic: topic.to_owned(), number: number.parse().ok()? })
    }

    /// The partitions of a topic go to slots in turn, from a slot that its name says, so that many small topics do not
    /// all meet in slot 0.
    pub fn slot(&self, slots: Parallelism) -> Slot {
        let first = xxh3_64(self.topic.as_bytes()) % u64::from(slots.get());
        let slot = (first + self.number.unsigned_abs() as u64) % u64::from(slots.get());
        Slot(slot as u16)
    }
}

/// The topics that a source means.
pub struct Subscription {
    names: Vec<String>,
    patterns: RegexSet,
    /// A pattern is about internal topics.
    internal: bool,
}

impl Subscription {
    /// To names, and to patterns that start with `^`.
    pub fn to(topics: &[String]) -> Result<Self, Fault> {
        let (patterns, names): (Vec<&String>, Vec<&String>) = topics.iter().partition(|topic| topic.starts_with('^'));
        let internal = patterns.iter().any(|pattern| pattern.starts_with("^__"));
        let patterns = RegexSet::new(patterns).map_err(|error| Fault::invalid(error.to_string()))?;
        Ok(Self { names: names.into_iter().cloned().collect(), patterns, internal })
    }

    pub fn has(&self, topic: &str) -> bool {
        self.names.iter().any(|name| name == topic) || self.matches(topic)
    }

    fn matches(&self, topic: &str) -> bool {
        self.patterns.is_match(topic) && (self.internal || !topic.starts_with("__"))
    }
}

/// A cluster, seen by a source.
pub struct Cluster<'a> {
    pub source: &'a KafkaSource,
    pub consumer: &'a Consumer,
}

impl Cluster<'_> {
    fn fault(&self, what: &str, error: &KafkaError) -> Fault {
        fault(what, &self.source.cluster.brokers, error, client::reasons(self.consumer))
    }

    /// All partitions of the source's topics, sorted. A topic that is named must exist.
    pub fn partitions(&self) -> Result<Vec<Partition>, Fault> {
        let wanted = Subscription::to(&self.source.topics)?;
        let mut partitions = Vec::new();
        for name in &wanted.names {
            let what = format!("topic `{name}`");
            let metadata = self.consumer.fetch_metadata(Some(name), ANSWER).map_err(|e| self.fault(&what, &e))?;
            for topic in metadata.topics() {
                if let Some(error) = topic.error() {
                    return Err(self.fault(&what, &KafkaError::MetadataFetch(error.into())));
                }
                partitions.extend(partitions_of(topic));
            }
        }
        if !wanted.patterns.is_empty() {
            let metadata = self.consumer.fetch_metadata(None, ANSWER).map_err(|e| self.fault("the topics", &e))?;
            let matching = metadata.topics().iter().filter(|topic| wanted.matches(topic.name()));
            partitions.extend(matching.flat_map(partitions_of));
        }
        partitions.sort();
        partitions.dedup();
        if partitions.is_empty() && self.source.bounded {
            let (topics, brokers) = (self.source.topics.join("`, `"), &self.source.cluster.brokers);
            return Err(Fault::invalid(format!("no topic at `{brokers}` matches `{topics}`")));
        }
        Ok(partitions)
    }

    /// The offset at which reading starts.
    pub fn start_of(&self, partition: &Partition, start: KafkaStart) -> Result<i64, Fault> {
        match start {
            KafkaStart::Earliest => Ok(self.ends_of(partition)?.0),
            KafkaStart::Latest => Ok(self.ends_of(partition)?.1),
            KafkaStart::Committed => {
                let asked = self.consumer.committed_offsets(self.one(partition, Offset::Invalid)?, ANSWER);
                let (first, end) = self.ends_of(partition)?;
                match self.answer(partition, asked)? {
                    Offset::Offset(offset) if (first..=end).contains(&offset) => Ok(offset),
                    Offset::Offset(offset) => Err(no_offset(partition, &self.source.cluster.brokers, offset)),
                    // The group has not read it.
                    _ => Ok(first),
                }
            }
            KafkaStart::Timestamp(at) => {
                let millis = at.0.div_euclid(1000) + i64::from(at.0.rem_euclid(1000) > 0);
                let asked = self.consumer.offsets_for_times(self.one(partition, Offset::Offset(millis))?, ANSWER);
                match self.answer(partition, asked)? {
                    Offset::Offset(offset) => Ok(offset),
                    // Nothing is that late.
                    _ => Ok(self.ends_of(partition)?.1),
                }
            }
        }
    }

    /// The first offset, and the one behind the last: of a source that reads committed messages only, behind the last
    /// that is decided.
    pub fn ends_of(&self, partition: &Partition) -> Result<(i64, i64), Fault> {
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.consumer.fetch_watermarks(&partition.topic, partition.number, ANSWER) {
                // A partition that is new, or whose leader moves, has none for a moment.
                Err(error) if has_no_leader(&error) && Instant::now() < deadline => thread::sleep(ELECTION),
                ends => return ends.map_err(|error| self.fault(&format!("partition `{partition}`"), &error)),
            }
        }
    }

    fn one(&self, partition: &Partition, offset: Offset) -> Result<TopicPartitionList, Fault> {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&partition.topic, partition.number, offset);
        added.map_err(|error| self.fault(&format!("partition `{partition}`"), &error))?;
        Ok(list)
    }

    fn answer(&self, partition: &Partition, asked: Result<TopicPartitionList, KafkaError>) -> Result<Offset, Fault> {
        let fault = |error: KafkaError| self.fault(&format!("partition `{partition}`"), &error);
        let answer = asked.map_err(fault)?;
        let Some(element) = answer.find_partition(&partition.topic, partition.number) else {
            return Ok(Offset::Invalid);
        };
        element.error().map_err(fault)?;
        Ok(element.offset())
    }
}

fn partitions_of(topic: &MetadataTopic) -> impl Iterator<Item = Partition> {
    topic.partitions().iter().map(|partition| Partition { topic: topic.name().to_owned(), number: partition.id() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_partition_it_came_from() {
        for (topic, number) in [("clicks", 0), ("a-1-2", 17), ("..-", 3)] {
            let partition = Partition { topic: topic.to_owned(), number };
            assert_eq!(Partition::of(&partition.name()), Some(partition));
        }
        assert_eq!(Partition::of(&SplitName::from("clicks")), None);
        assert_eq!(Partition::of(&SplitName::from("clicks-x")), None);
    }

    #[test]
    fn topics_are_meant_by_name_or_pattern() {
        let topics = ["clicks".to_owned(), "^orders\\.".to_owned(), "^.*_offsets$".to_owned()];
        let wanted = Subscription::to(&topics).unwrap();
        for (topic, is_meant) in
            [("clicks", true), ("clicks2", false), ("orders.eu", true), ("reorders.eu", false), ("__offsets", false)]
        {
            assert_eq!(wanted.has(topic), is_meant, "{topic}");
        }
        assert!(Subscription::to(&["^__.*".to_owned()]).unwrap().has("__offsets"));
        assert!(Subscription::to(&["^(".to_owned()]).is_err());
    }

    #[test]
    fn each_partition_has_one_slot_and_slots_share_a_topic_evenly() {
        for slots in 1..5 {
            let slots = Parallelism::new(slots).unwrap();
            let mut counts = vec![0; usize::from(slots.get())];
            for number in 0..i32::from(slots.get()) * 3 {
                let partition = Partition { topic: "clicks".to_owned(), number };
                counts[usize::from(partition.slot(slots).0)] += 1;
            }
            assert!(counts.iter().all(|count| *count == 3), "{counts:?}");
        }
    }
}
