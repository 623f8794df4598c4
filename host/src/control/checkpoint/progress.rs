//! How the checkpoints of a running job are getting on, for people.

use serde::{Deserialize, Serialize};

use crate::model::checkpoint::CheckpointId;
use crate::model::time::Timestamp;
use crate::storage::manifest::Kind;

/// Of one start of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointProgress {
    pub last_completed_checkpoint: Option<CompletedCheckpoint>,
    pub completed_checkpoints: u64,
    pub failed_checkpoints: u64,
    /// The one that is under way.
    pub in_progress_checkpoint: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedCheckpoint {
    pub checkpoint: u64,
    pub kind: Kind,
    /// Microseconds since 1970.
    pub completed_at: i64,
    /// From its barrier until all of it was written.
    pub checkpoint_duration_ms: u64,
    /// Bytes that were written for it.
    pub checkpoint_size_bytes: u64,
    /// Bytes of all the files that it names, with those of checkpoints before.
    pub full_size_bytes: u64,
}

/// The checkpoint that is under way, as far as it is reported.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub checkpoint: CheckpointId,
    pub at: Timestamp,
    pub written_bytes: u64,
    pub full_bytes: u64,
}
