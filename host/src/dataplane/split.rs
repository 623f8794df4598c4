//! What a source connector is to the data plane: splits, each read in order, never blocking for long.

use arrow_array::RecordBatch;

use crate::model::batch::Offsets;
use crate::model::fault::Fault;
use crate::model::id::SplitName;
use crate::model::time::Micros;

/// How much one read may return.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    pub rows_max: usize,
    /// Of decoded or raw input, about: a read may go over it by one event.
    pub bytes_max: usize,
}

/// A part of a source that is read in order, by one slot.
pub trait SplitReader: Send {
    fn name(&self) -> &SplitName;

    /// The first good event of the split, without keeping a file or a buffer open: its time holds the watermark back
    /// until the split's turn comes. `None` = there is none (yet). Not called once `read` has been.
    fn peek(&mut self) -> Result<Option<Rows>, Fault>;

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault>;

    /// Where the next `read` goes on.
    fn position(&self) -> Position;

    /// How many events wait to be read, as far as the connector knows.
    fn lag(&self) -> Option<u64> {
        None
    }
}

/// A place in a split, as JSON that its connector understands and people can read.
pub type Position = serde_json::Value;

/// A split that a checkpoint knows.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SplitState {
    pub name: SplitName,
    /// `None` = it has been read to its end.
    pub position: Option<Position>,
}

pub enum Read {
    Rows(Rows),
    /// Nothing for now; ask again.
    Pending,
    /// Nothing ever again.
    End,
}

/// Decoded events, in order.
pub struct Rows {
    /// Columns of the source's schema; a row that could not be decoded holds anything, and is not selected.
    pub records: RecordBatch,
    /// The good rows, ascending; `None` = all.
    pub selection: Option<Vec<u32>>,
    pub offsets: Offsets,
    /// The events that could not be decoded.
    pub refused: Vec<Refused>,
}

/// An event that is not what the source's format and schema say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub offset: u64,
    pub reason: String,
    /// The event as it was found.
    pub event: Vec<u8>,
}

/// Finds the splits of one slot.
pub trait SplitEnumerator: Send {
    /// Takes the splits that a checkpoint knows, those of all slots, and returns readers of those that are this slot's
    /// now and have not ended, where they were left. Called at most once, before `discover`, which then finds only what
    /// is not among them.
    fn restore(&mut self, splits: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault>;

    /// The splits that this slot has not been given yet. Called at the start and then every `discover_interval`.
    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault>;

    /// How often to look for more splits; `None` = bounded: the first answer of `discover` is all there will ever be.
    fn discover_interval(&self) -> Option<Micros>;
}
