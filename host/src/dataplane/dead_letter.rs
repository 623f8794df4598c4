//! Events that could not be processed: never dropped silently, never in the way of good ones.

use crate::model::batch::{Batch, Provenance};
use crate::model::fault::Fault;
use crate::model::id::{SplitName, Uid};

#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The source or operator that could not process it.
    pub node: Uid,
    pub reason: String,
    /// Where the event came from; `None` for what an operator made (a timer, a window).
    pub split: Option<SplitName>,
    pub offset: Option<u64>,
    pub event: DeadEvent,
}

#[derive(Clone, Debug)]
pub enum DeadEvent {
    /// As it was found: it could not be decoded.
    Raw(Vec<u8>),
    /// The only row of a batch.
    Row(Batch),
}

impl DeadLetter {
    /// Of row `row` of those of the batch that count.
    pub fn of_row(node: &Uid, batch: &Batch, row: u32, reason: String) -> Self {
        let row = batch.select(vec![row]).compact();
        let Provenance { split, offsets } = row.provenance();
        let (split, offset) = (split.clone(), offsets.get(0));
        Self { node: node.clone(), reason, split, offset, event: DeadEvent::Row(row) }
    }
}

/// Keeps dead letters; shared by all slots of a job.
pub trait DeadLetterWriter: Send {
    /// Durable as far as the operating system is concerned when it returns.
    fn write(&mut self, letters: &[DeadLetter]) -> Result<(), Fault>;
}
