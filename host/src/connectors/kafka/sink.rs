//! A topic, or several, as a sink.

use crate::dataplane::sink_writer::{Committable, SinkWriter};
use crate::model::batch::Batch;
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;
use crate::model::schema::Schema;
use crate::plan::connector::{KafkaSink, KafkaTopic};

use super::producer::Producer;
use super::record::RecordEncoder;

/// What one slot writes. Each slot has a producer, so the messages of one key keep their order when its rows come from
/// one slot: from behind a `key_by`, or from a partition.
pub fn open(sink: &KafkaSink, schema: &Schema) -> Result<Box<dyn SinkWriter>, Fault> {
    let encoder = RecordEncoder::new(sink, schema).map_err(Fault::invalid)?;
    let producer = Producer::open(&sink.cluster, sink.queue_bytes_max, &[])?;
    if let KafkaTopic::Named(topic) = &sink.topic {
        producer.check_topic(topic)?;
    }
    Ok(Box::new(KafkaWriter { encoder, producer }))
}

struct KafkaWriter {
    encoder: RecordEncoder,
    producer: Producer,
}

impl SinkWriter for KafkaWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.producer.check()?;
        let producer = &self.producer;
        self.encoder.encode(batch, |record| producer.send(record))
    }

    /// Messages are on their way within `linger.ms` without it: nothing is waited for, and what failed is said.
    fn flush(&mut self) -> Result<(), Fault> {
        self.producer.check()
    }

    fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Vec<Committable>, Fault> {
        self.producer.flush()?;
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.producer.flush()
    }
}
