//! Events that could not be processed: never dropped silently, never in the way of good ones.

use crate::model::batch::Batch;
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
    /// Row `row` of a compact batch.
    pub fn of_row(node: &Uid, batch: &Batch, row: usize, reason: String) -> Self {
        Self {
            node: node.clone(),
            reason,
            split: batch.provenance().split.clone(),
            offset: batch.provenance().offsets.get(row),
            event: DeadEvent::Row(batch.select(vec![row as u32]).compact()),
        }
    }
}

/// Keeps dead letters; shared by all slots of a job.
pub trait DeadLetterWriter: Send {
    /// Durable as far as the operating system is concerned when it returns.
    fn write(&mut self, letters: &[DeadLetter]) -> Result<(), Fault>;
}
