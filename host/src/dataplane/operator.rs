//! A node at work in one slot.

use crate::model::batch::Batch;
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::time::Timestamp;

use super::dead_letter::DeadLetter;
use super::snapshot::{MemberState, OperatorSnapshot};

/// Rows of what one watermark sets off that an operator gives out at once, about.
pub const FIRED_ROWS_MAX: usize = 32 << 10;

/// Order of calls: `restore` at most once; any number of `on_batch`, `on_broadcast`, `on_watermark` (rising), `on_time` (rising) and
/// `snapshot`; `on_end` once; then only `snapshot`.
pub trait Operator: Send {
    /// Whether it takes more input now: `false` is back-pressure, asked again when time has passed.
    fn is_ready(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }

    fn on_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<(), Fault>;

    /// Rows of the broadcast input, which every slot gets; only called if the operator has one.
    fn on_broadcast(&mut self, _batch: Batch, _out: &mut Collector) -> Result<(), Fault> {
        Err(Fault::internal("rows were broadcast to an operator that has no broadcast input"))
    }

    /// No event at or before `watermark` follows, unless it is late.
    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Collector) -> Result<(), Fault>;

    /// Whether the last watermark sets off more than one call gives out: then `on_watermark` is called with it again,
    /// before anything else is called.
    fn has_more(&self) -> bool {
        false
    }

    /// It is `now`: called when `wake_at` has come, or later.
    fn on_time(&mut self, _now: Timestamp, _out: &mut Collector) -> Result<(), Fault> {
        Ok(())
    }

    /// The processing time at which this operator has something to do.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    /// Takes over what a checkpoint holds of this node.
    fn restore(&mut self, _state: &mut MemberState) -> Result<(), Fault> {
        Ok(())
    }

    /// A barrier has come on every input: the state as it is now.
    fn snapshot(&mut self, _barrier: &Barrier) -> Result<OperatorSnapshot, Fault> {
        Ok(OperatorSnapshot::default())
    }

    /// All input has ended, and the last watermark was `Timestamp::MAX`.
    fn on_end(&mut self, _out: &mut Collector) -> Result<(), Fault> {
        Ok(())
    }
}

/// What an operator has to say, and the time at which it says it.
#[derive(Debug)]
pub struct Collector {
    /// Processing time.
    pub now: Timestamp,
    pub outputs: Vec<(usize, Batch)>,
    pub dead_letters: Vec<DeadLetter>,
    /// Rows that came after their window had gone, as `late_records` in the metrics.
    pub late_rows: u64,
    /// The operator's own counters and histograms, by number.
    pub counts: Vec<(u32, u64)>,
    pub observations: Vec<(u32, f64)>,
}

impl Collector {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            outputs: Vec::new(),
            dead_letters: Vec::new(),
            late_rows: 0,
            counts: Vec::new(),
            observations: Vec::new(),
        }
    }

    /// Of all outputs.
    pub fn rows(&self) -> usize {
        self.outputs.iter().map(|(_, batch)| batch.rows()).sum()
    }

    /// Empty batches are not worth sending.
    pub fn emit(&mut self, port: usize, batch: Batch) {
        if !batch.is_empty() {
            // The next reader's key may be another one.
            self.outputs.push((port, batch.with_key_hashes(None)));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;

    use super::*;
    use crate::model::batch::Provenance;
    use crate::model::schema::Schema;

    #[test]
    fn what_is_emitted_has_no_hashes_of_a_key_that_the_next_reader_may_not_have() {
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(2));
        let schema = Schema::new([]);
        let records = RecordBatch::try_new_with_options(schema.arrow().clone(), Vec::new(), &options).unwrap();
        let batch = Batch::new(records, vec![1, 2].into(), Provenance::default());
        let mut out = Collector::new(Timestamp(0));
        out.emit(0, batch.with_key_hashes(Some(vec![3, 4].into())));
        assert!(out.outputs[0].1.key_hashes().is_none());
    }
}
