//! Events that could not be processed: never dropped silently, never in the way of good ones.

use crate::model::batch::{Batch, Provenance};
use crate::model::fault::Fault;
use crate::model::id::{SplitName, Uid};
use crate::model::key::Keys;

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

/// The rows whose keys have more bytes than `key_bytes_max`, and what to say of each.
pub fn oversized_keys(keys: &Keys, key_bytes_max: usize) -> Vec<(u32, String)> {
    if keys.bytes() <= key_bytes_max {
        return Vec::new();
    }
    let lengths = keys.iter().map(<[u8]>::len).enumerate().filter(|(_, bytes)| *bytes > key_bytes_max);
    let said = |bytes| format!("its key has {bytes} bytes; key_bytes_max is {key_bytes_max}");
    lengths.map(|(row, bytes)| (row as u32, said(bytes))).collect()
}

/// Keeps dead letters; shared by all slots of a job.
pub trait DeadLetterWriter: Send {
    /// When it returns, the letters survive this process, though perhaps not the machine.
    fn write(&mut self, letters: &[DeadLetter]) -> Result<(), Fault>;
}
