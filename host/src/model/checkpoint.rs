//! Names of checkpoints, and what passes through the dataflow to make one.

use std::fmt;

use uuid::Uuid;

use super::time::Timestamp;

/// Checkpoints of a job are numbered from 1, savepoints among them, and a number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub u64);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One of the starts of a job that has checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// The same for all of them.
    pub job_id: Uuid,
    /// From 1.
    pub number: u64,
}

/// Separates the events that a checkpoint covers from those that it does not (Chandy and Lamport: "Distributed
/// Snapshots", 1985; Carbone et al.: "Lightweight Asynchronous Snapshots for Distributed Dataflows", 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    pub checkpoint: CheckpointId,
    /// State that has not changed since this checkpoint's barrier need not be written again; `None` = write all of it.
    pub base: Option<CheckpointId>,
    /// From then on a task does not wait for the barrier on every channel: what is in flight there becomes part of the
    /// checkpoint. `None` = it always waits.
    pub overtakes_at: Option<Timestamp>,
    /// Nothing follows the barrier: the job stops when the checkpoint is complete.
    pub stops: bool,
}
