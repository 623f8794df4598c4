//! Partitions as splits: where a checkpoint leaves them, they go on, whoever reads them then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use wasmill::connectors::open_source;
use wasmill::dataplane::split::{Read, ReadLimits, SplitReader, SplitState};
use wasmill::model::id::{Parallelism, Slot};
use wasmill::model::schema::{DataType, Field, Schema};
use wasmill::model::time::Micros;
use wasmill::plan::connector::{Format, KafkaCluster, KafkaSource, KafkaStart, SourceConnector, SourcePlan};

use super::cluster::{Cluster, Message};

const PER_PARTITION: u64 = 100;
const ONE_BATCH: ReadLimits = ReadLimits { rows_max: 30, bytes_max: 1 << 20 };

fn plan(cluster: &Cluster, topic: &str, bounded: bool) -> SourcePlan {
    let source = KafkaSource {
        cluster: KafkaCluster { brokers: cluster.address.clone(), properties: BTreeMap::new() },
        topics: vec![topic.to_owned()],
        format: Format::Raw,
        start: KafkaStart::Earliest,
        group: None,
        bounded,
        discover_interval: Micros(60_000_000),
        prefetch_bytes_max: 1 << 20,
        metadata: Vec::new(),
    };
    let schema = Schema::new([Field::new("value", DataType::Text)]);
    SourcePlan { connector: SourceConnector::Kafka(source), schema, time: None }
}

/// The offsets of the next batch; `None` at the end.
fn batch(reader: &mut dyn SplitReader) -> Option<Vec<u64>> {
    loop {
        match reader.read(ONE_BATCH).unwrap() {
            Read::Rows(rows) => {
                return Some((0..rows.records.num_rows()).map(|i| rows.offsets.get(i).unwrap()).collect());
            }
            Read::Pending => std::thread::yield_now(),
            Read::End => return None,
        }
    }
}

fn rest(mut reader: Box<dyn SplitReader>) -> Vec<u64> {
    std::iter::from_fn(|| batch(reader.as_mut())).flatten().collect()
}

#[test]
fn each_partition_goes_on_where_it_was_left_at_another_parallelism() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("restored", 3);
    let messages = (0..PER_PARTITION * 3).map(|n| Message::at(&n.to_string(), (n % 3) as i32));
    cluster.send(&topic, &messages.collect::<Vec<_>>());
    let plan = plan(&cluster, &topic, true);

    let one = Parallelism::ONE;
    let mut readers = open_source(&plan, Slot(0), one).unwrap().discover().unwrap();
    assert_eq!(readers.len(), 3);
    assert_eq!(readers[0].position(), json!({ "offset": 0, "end": PER_PARTITION }));
    let mut left = BTreeMap::new();
    let mut states = Vec::new();
    for (i, reader) in readers.iter_mut().enumerate() {
        // The first is not read at all, the second in part, the third to its end.
        let read: Vec<u64> = (0..[0, 1, 4][i]).filter_map(|_| batch(reader.as_mut())).flatten().collect();
        let next = read.len() as u64;
        assert_eq!(read, (0..next).collect::<Vec<_>>());
        let ended = i == 2;
        assert_eq!(ended, next == PER_PARTITION);
        states.push(SplitState { name: reader.name().clone(), position: (!ended).then(|| reader.position()) });
        left.insert(reader.name().to_string(), next);
    }
    // What came after the job's start is not in its bounds.
    cluster.send(&topic, &[Message::at("late", 0), Message::at("late", 2)]);
    drop(readers);

    let two = Parallelism::new(2).unwrap();
    let mut found = BTreeSet::new();
    for slot in two.slots() {
        let mut source = open_source(&plan, slot, two).unwrap();
        for reader in source.restore(&states).unwrap() {
            let name = reader.name().to_string();
            assert_eq!(rest(reader), (left[&name]..PER_PARTITION).collect::<Vec<_>>(), "{name}");
            assert!(found.insert(name));
        }
        assert!(source.discover().unwrap().is_empty());
    }
    assert_eq!(found.len(), 2, "the third had ended: {found:?}");
}

#[test]
fn partitions_that_a_checkpoint_does_not_know_are_read_from_their_beginning() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("unknown", 1);
    cluster.send(&topic, &[Message::at("a", 0), Message::at("b", 0)]);
    let mut plan = plan(&cluster, &topic, false);
    let SourceConnector::Kafka(source) = &mut plan.connector else { unreachable!() };
    source.start = KafkaStart::Latest;
    let mut before = open_source(&plan, Slot(0), Parallelism::ONE).unwrap();
    let found = before.discover().unwrap();
    let mut states = Vec::new();
    for reader in &found {
        states.push(SplitState { name: reader.name().clone(), position: Some(reader.position()) });
    }
    assert_eq!(states[0].position, Some(json!({ "offset": 2 })));
    cluster.add_partitions(&topic, 2);
    cluster.send(&topic, &[Message::at("c", 1)]);

    let mut source = open_source(&plan, Slot(0), Parallelism::ONE).unwrap();
    assert_eq!(source.restore(&states).unwrap().len(), 1);
    let mut new = source.discover().unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!((new[0].name().as_str(), new[0].position()), (&*format!("{topic}-1"), json!({ "offset": 0 })));
    assert_eq!(batch(new[0].as_mut()), Some(vec![0]));

    let foreign = SplitState { name: "a.jsonl@0".into(), position: Some(json!(3)) };
    let mut source = open_source(&plan, Slot(0), Parallelism::ONE).unwrap();
    assert!(source.restore(&[foreign]).err().unwrap().message.contains("a.jsonl@0"));
}

#[test]
fn the_lag_is_what_waits() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("lag", 1);
    cluster.send(&topic, &(0..50).map(|n| Message::at(&n.to_string(), 0)).collect::<Vec<_>>());
    let mut source = open_source(&plan(&cluster, &topic, false), Slot(0), Parallelism::ONE).unwrap();
    let mut reader = source.discover().unwrap().remove(0);
    let mut read = batch(reader.as_mut()).unwrap().len() as u64;
    // The consumer learns the end from what it fetches, and says it every second.
    while reader.lag().is_none() {
        if let Read::Rows(rows) = reader.read(ReadLimits { rows_max: 1, ..ONE_BATCH }).unwrap() {
            read += rows.records.num_rows() as u64;
        }
    }
    assert_eq!(reader.lag(), Some(50 - read));
}
