//! A sink at the end of a chain.

use crate::model::batch::Batch;
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::time::{Micros, Timestamp};

use super::operator::{Collector, Operator};
use super::sink_writer::SinkWriter;
use super::snapshot::OperatorSnapshot;

/// How long a row may stay in a sink's buffer while nothing else comes.
const FLUSH_INTERVAL: Micros = Micros(100_000);

pub struct Sink {
    writer: Box<dyn SinkWriter>,
    /// Checkpoints publish what was written, the last of them what came before the end.
    is_checkpointed: bool,
    flush_at: Option<Timestamp>,
}

impl Sink {
    pub fn new(writer: Box<dyn SinkWriter>, is_checkpointed: bool) -> Self {
        Self { writer, is_checkpointed, flush_at: None }
    }
}

impl Operator for Sink {
    fn is_ready(&mut self) -> Result<bool, Fault> {
        self.writer.is_ready()
    }

    fn on_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<(), Fault> {
        self.flush_at.get_or_insert(out.now + FLUSH_INTERVAL);
        self.writer.write(&batch)
    }

    fn on_watermark(&mut self, _watermark: Timestamp, _out: &mut Collector) -> Result<(), Fault> {
        Ok(())
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut Collector) -> Result<(), Fault> {
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush_at = None;
            self.writer.flush()?;
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.flush_at
    }

    fn snapshot(&mut self, barrier: &Barrier) -> Result<OperatorSnapshot, Fault> {
        let committables = self.writer.prepare(barrier.checkpoint)?;
        Ok(OperatorSnapshot { committables, ..OperatorSnapshot::default() })
    }

    fn on_end(&mut self, _out: &mut Collector) -> Result<(), Fault> {
        if self.is_checkpointed { self.writer.flush() } else { self.writer.finish() }
    }
}
