//! Event times and watermarks of an operator's output, where that has a time of its own.

use crate::dataplane::dead_letter::DeadLetter;
use crate::dataplane::event_time;
use crate::dataplane::watermark::BoundedOutOfOrderness;
use crate::model::batch::Batch;
use crate::model::id::{SplitName, Uid};
use crate::model::schema::Schema;
use crate::model::time::Timestamp;
use crate::plan::connector::TimePlan;

/// Gives rows their times where an operator's output has a time of its own.
pub struct TimeAssigner {
    plan: TimePlan,
    schema: Schema,
    watermarks: BoundedOutOfOrderness,
    watermark: Timestamp,
    /// Of the last batch.
    split: Option<SplitName>,
    said_out_of_order: bool,
}

impl TimeAssigner {
    /// `schema` is that of the main output.
    pub fn new(plan: TimePlan, schema: Schema) -> Self {
        let watermarks = BoundedOutOfOrderness::new(plan.out_of_orderness);
        Self { plan, schema, watermarks, watermark: Timestamp::MIN, split: None, said_out_of_order: false }
    }

    pub fn assign(&mut self, batch: Batch, node: &Uid, letters: &mut Vec<DeadLetter>) -> Batch {
        let batch = batch.compact();
        let data_type = &self.schema.fields()[self.plan.column].data_type;
        let found = event_time::extract(batch.column(self.plan.column), &self.plan, data_type, None);
        let batch = batch.derive(batch.records().clone(), Some(found.times.to_vec()), None);
        let (batch, bad) = batch.without(found.missing);
        letters.extend(bad.into_iter().map(|(row, reason)| DeadLetter::of_row(node, &row, 0, reason)));
        self.check_order(&batch, node);
        self.watermarks.observe(batch.times().iter().copied());
        batch
    }

    /// Says so, once, where a split's events are late only because another split was read before it.
    fn check_order(&mut self, batch: &Batch, node: &Uid) {
        let split = &batch.provenance().split;
        let Some(latest) = batch.times().iter().max().filter(|_| *split != self.split) else { return };
        let (latest, watermark) = (Timestamp(*latest), self.watermarks.watermark());
        if let (Some(before), Some(now)) = (&self.split, split)
            && latest <= watermark
            && !std::mem::replace(&mut self.said_out_of_order, true)
        {
            tracing::warn!(
                "operator `{node}`: events of split `{now}` are late, at {latest} or before, because `{before}` was read \
                 before it (watermark {watermark}): name files in the order of their times, raise out_of_orderness of \
                 `{node}`, or give the source an `event_time`"
            );
        }
        self.split = split.clone();
    }

    pub fn latest(&self) -> Timestamp {
        self.watermarks.latest()
    }

    /// The watermark is said again: a checkpoint does not know who heard it.
    pub fn restore(&mut self, latest: Timestamp) {
        self.watermarks.restore(latest);
    }

    pub fn news(&mut self) -> Option<Timestamp> {
        let watermark = self.watermarks.watermark();
        (watermark > self.watermark).then(|| {
            self.watermark = watermark;
            watermark
        })
    }
}
