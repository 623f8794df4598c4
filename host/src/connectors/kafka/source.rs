//! Topics as a source: their partitions, those that come later too, shared out to slots.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::dataplane::split::{SplitEnumerator, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot};
use crate::model::schema::Schema;
use crate::model::time::Micros;
use crate::plan::connector::{KafkaSource, KafkaStart};

use super::client::{self, Consumer};
use super::columns::MessageDecoder;
use super::faults::fault;
use super::partition::{PartitionReader, Place};
use super::partitions::{Cluster, Partition};

/// Partitions that were found and are not taken yet; then the search waits.
const FOUND_MAX: usize = 1024;

/// The partitions of one slot, all read by one consumer.
pub fn open(
    source: &KafkaSource,
    schema: &Schema,
    slot: Slot,
    slots: Parallelism,
) -> Result<Box<dyn SplitEnumerator>, Fault> {
    // Settings that cannot work are refused before anything is asked.
    MessageDecoder::new(source, schema).map_err(Fault::invalid)?;
    Ok(Box::new(Topics {
        source: source.clone(),
        schema: schema.clone(),
        consumer: Arc::new(client::consumer(source)?),
        ours: Ours { slot, slots, known: HashSet::new() },
        restored: false,
        search: None,
    }))
}

pub fn count_splits(source: &KafkaSource) -> Result<usize, String> {
    let consumer = client::consumer(source).map_err(|fault| fault.message)?;
    let partitions = Cluster { source, consumer: &consumer }.partitions().map_err(|fault| fault.message)?;
    Ok(partitions.len())
}

/// `None` = whenever the source starts, it reads the same.
pub fn starting_splits(source: &KafkaSource) -> Result<Option<Vec<SplitState>>, Fault> {
    if source.start == KafkaStart::Earliest && !source.bounded {
        return Ok(None);
    }
    let consumer = client::consumer(source)?;
    let cluster = Cluster { source, consumer: &consumer };
    let splits = cluster.partitions()?.into_iter().map(|partition| {
        let place = place(&cluster, &partition, source.start)?;
        Ok(SplitState { name: partition.name(), position: Some(place.to_position()) })
    });
    splits.collect::<Result<_, _>>().map(Some)
}

struct Topics {
    source: KafkaSource,
    schema: Schema,
    consumer: Arc<Consumer>,
    ours: Ours,
    /// A checkpoint said where partitions were left: those that it does not know are new.
    restored: bool,
    /// Started by the first discovery.
    search: Option<Search>,
}

/// Which partitions this slot reads.
#[derive(Clone)]
struct Ours {
    slot: Slot,
    slots: Parallelism,
    known: HashSet<Partition>,
}

impl Ours {
    /// Those of this slot that were not known, and are from now on.
    fn new_of(&mut self, partitions: Vec<Partition>) -> Vec<Partition> {
        let is_ours = |partition: &Partition| partition.slot(self.slots) == self.slot;
        partitions.into_iter().filter(is_ours).filter(|partition| self.known.insert(partition.clone())).collect()
    }
}

impl Topics {
    fn cluster(&self) -> Cluster<'_> {
        Cluster { source: &self.source, consumer: &self.consumer }
    }

    /// What there is when the job starts.
    fn first(&mut self) -> Result<Vec<(Partition, Place)>, Fault> {
        let start = if self.restored { KafkaStart::Earliest } else { self.source.start };
        let new = self.ours.new_of(self.cluster().partitions()?);
        new.into_iter()
            .map(|partition| {
                let place = place(&self.cluster(), &partition, start)?;
                Ok((partition, place))
            })
            .collect()
    }

    fn readers(&self, places: Vec<(Partition, Place)>) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        places.into_iter().map(|(partition, place)| Ok(Box::new(self.reader(partition, place)?) as _)).collect()
    }

    fn reader(&self, partition: Partition, place: Place) -> Result<PartitionReader, Fault> {
        let brokers = &self.source.cluster.brokers;
        let what = format!("partition `{partition}`");
        let queue = self.consumer.split_partition_queue(&partition.topic, partition.number);
        let queue = queue.ok_or_else(|| Fault::unavailable(format!("{what} cannot be assigned")))?;
        // Only now: what comes before the partition has its queue would go to the consumer's.
        let mut assigned = TopicPartitionList::new();
        assigned
            .add_partition_offset(&partition.topic, partition.number, Offset::Offset(place.offset))
            .and_then(|()| self.consumer.incremental_assign(&assigned))
            .map_err(|error| fault(&what, brokers, &error, self.consumer.context()))?;
        let decoder = MessageDecoder::new(&self.source, &self.schema).map_err(Fault::invalid)?;
        Ok(PartitionReader::new(partition, brokers, &self.consumer, queue, decoder, place))
    }
}

impl SplitEnumerator for Topics {
    fn restore(&mut self, splits: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        self.restored = true;
        let mut places = Vec::new();
        for split in splits {
            let partition = Partition::of(&split.name);
            let partition = partition.ok_or_else(|| not_ours(split, "it is not called like a partition"))?;
            let place = split.position.as_ref().map(|position| serde_json::from_value::<Place>(position.clone()));
            let place = place.transpose().map_err(|error| not_ours(split, &error.to_string()))?;
            let ours = self.ours.new_of(vec![partition]);
            places.extend(ours.into_iter().zip(place));
        }
        self.readers(places)
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        // What there was to read was settled when the job first started.
        if self.source.bounded && self.restored {
            return Ok(Vec::new());
        }
        let places = match &self.search {
            Some(search) => search.found.try_iter().collect(),
            None => self.first()?,
        };
        if self.search.is_none() && !self.source.bounded {
            self.search = Some(Search::start(&self.source, &self.consumer, &self.ours)?);
        }
        self.readers(places)
    }

    fn discover_interval(&self) -> Option<Micros> {
        (!self.source.bounded).then_some(self.source.discover_interval)
    }
}

fn not_ours(split: &SplitState, why: &str) -> Fault {
    let name = &split.name;
    Fault::invalid(format!(
        "the checkpoint has a split `{name}` that is no partition of Kafka: {why}; was the source another one?"
    ))
}

fn place(cluster: &Cluster, partition: &Partition, start: KafkaStart) -> Result<Place, Fault> {
    let end = match cluster.source.bounded {
        true => Some(cluster.ends_of(partition)?.1),
        false => None,
    };
    Ok(Place { offset: cluster.start_of(partition, start)?, end })
}

/// Looks for new partitions in a thread of its own, because brokers may take as long as they like to answer.
struct Search {
    found: Receiver<(Partition, Place)>,
    /// Dropped with it: the sign for the thread to end.
    _stop: Sender<()>,
}

impl Search {
    fn start(source: &KafkaSource, consumer: &Arc<Consumer>, ours: &Ours) -> Result<Self, Fault> {
        let (stop, stopped) = channel();
        let (sender, found) = sync_channel(FOUND_MAX);
        let (source, consumer, mut ours) = (source.clone(), Arc::clone(consumer), ours.clone());
        let run = move || {
            while stopped.recv_timeout(source.discover_interval.into()) == Err(RecvTimeoutError::Timeout) {
                let cluster = Cluster { source: &source, consumer: &consumer };
                if let Err(fault) = search(&cluster, &mut ours, &sender) {
                    tracing::warn!(
                        "cannot look for new partitions, the next time is in {}: {fault}",
                        source.discover_interval
                    );
                }
            }
        };
        let thread = thread::Builder::new().name("kafka-partitions".to_owned()).spawn(run);
        thread.map_err(|error| Fault::unavailable(format!("no thread that looks for partitions: {error}")))?;
        Ok(Self { found, _stop: stop })
    }
}

/// New partitions are read from their beginning, whatever the source's `start`: they began after it.
fn search(cluster: &Cluster, ours: &mut Ours, found: &SyncSender<(Partition, Place)>) -> Result<(), Fault> {
    for partition in ours.new_of(cluster.partitions()?) {
        match place(cluster, &partition, KafkaStart::Earliest) {
            // Nobody listens: the job has ended, and the next look at `stopped` says so.
            Ok(place) => drop(found.send((partition, place))),
            Err(fault) => {
                // Found again the next time.
                ours.known.remove(&partition);
                return Err(fault);
            }
        }
    }
    Ok(())
}
