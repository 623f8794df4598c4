//! What a task gives to a checkpoint, and what it takes from one.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::time::Timestamp;
use crate::state::snapshot::{ChunkSource, Frozen};
use crate::state::{Conversion, FormerState};

use super::sink_writer::Committable;
use super::split::SplitState;

/// The members of a task as they were at a barrier.
pub struct TaskSnapshot {
    pub barrier: Barrier,
    pub members: Vec<MemberSnapshot>,
}

pub struct MemberSnapshot {
    pub uid: Uid,
    pub progress: Watermarks,
    pub state: OperatorSnapshot,
    /// Of a source.
    pub splits: Vec<SourceSplit>,
    /// Events on its channels that are part of its state.
    pub in_flight: u64,
}

/// What a node has said of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Of its inputs together.
    pub input: Timestamp,
    /// The latest time of its output, where it gives that times of its own.
    pub latest: Option<Timestamp>,
}

/// A split and the latest event time that was read of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSplit {
    #[serde(flatten)]
    pub split: SplitState,
    /// Microseconds since 1970; `None` = none was.
    pub latest: Option<i64>,
}

/// Key groups whose slot was further than the smallest watermark of the node's slots, as it may be when a barrier has
/// overtaken watermarks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    pub groups: Range<u16>,
    /// Microseconds since 1970.
    pub watermark: i64,
}

/// What an operator remembers; made in no time, because the stream waits.
#[derive(Default)]
pub struct OperatorSnapshot {
    pub frozen: Vec<Box<dyn Frozen>>,
    /// What has not changed since the barrier's base is left out.
    pub is_incremental: bool,
    pub committables: Vec<Committable>,
    /// What it still knows of how far groups were when it was restored.
    pub ahead: Vec<Ahead>,
}

/// What a member starts with.
pub struct MemberState {
    pub checkpoint: CheckpointId,
    pub progress: Watermarks,
    /// Of slots that were further than that.
    pub ahead: Vec<Ahead>,
    pub chunks: Box<dyn ChunkSource>,
    /// The states that the checkpoint's rows hold.
    pub states: Vec<FormerState>,
    /// Of a window's aggregates, what makes their accumulators today's.
    pub accumulators: Vec<Option<Box<dyn Conversion>>>,
    /// For each timer of the checkpoint its number now; `None` = it is dropped.
    pub timers: Vec<Option<u32>>,
    /// Of a source: the splits of all slots.
    pub splits: Vec<SourceSplit>,
}

/// A checkpoint that a job starts from, as one slot sees it.
pub trait Restored: Send {
    /// `None` = the checkpoint does not know this node.
    fn member(&self, uid: &Uid) -> Result<Option<MemberState>, Fault>;
}
