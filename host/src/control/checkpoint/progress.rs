//! How the checkpoints of a running job are getting on, for people.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::checkpoint::CheckpointId;
use crate::model::time::Timestamp;
use crate::storage::manifest::Kind;

/// Complete checkpoints that are remembered, at most.
const RECENT_CHECKPOINTS_MAX: usize = 100;

/// Of one start of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointProgress {
    pub last_completed_checkpoint: Option<CompletedCheckpoint>,
    pub completed_checkpoints: u64,
    pub failed_checkpoints: u64,
    /// The one that is under way.
    pub in_progress_checkpoint: Option<u64>,
    /// The newest last.
    pub recent_checkpoints: VecDeque<CompletedCheckpoint>,
}

impl CheckpointProgress {
    pub fn complete(&mut self, checkpoint: CompletedCheckpoint) {
        self.completed_checkpoints += 1;
        if self.recent_checkpoints.len() == RECENT_CHECKPOINTS_MAX {
            self.recent_checkpoints.pop_front();
        }
        self.recent_checkpoints.push_back(checkpoint.clone());
        self.last_completed_checkpoint = Some(checkpoint);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedCheckpoint {
    pub checkpoint: u64,
    pub kind: Kind,
    /// Microseconds since 1970.
    pub completed_at: i64,
    /// From its barrier until all of it was written.
    pub checkpoint_duration_ms: u64,
    /// From its barrier until that had passed every task.
    pub checkpoint_alignment_ms: u64,
    /// The longest that one step kept a slot from the next while it was made: a snapshot, or whatever else took long.
    pub longest_pause_us: u64,
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
    /// When the barrier passed the last of those tasks that it has passed.
    pub passed_at: Timestamp,
    pub written_bytes: u64,
    pub full_bytes: u64,
}

impl Begun {
    pub fn new(checkpoint: CheckpointId, at: Timestamp) -> Self {
        Self { checkpoint, at, passed_at: at, written_bytes: 0, full_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_checkpoints_are_remembered() {
        let mut progress = CheckpointProgress::default();
        let made = RECENT_CHECKPOINTS_MAX as u64 + 5;
        for checkpoint in 1..=made {
            progress.complete(CompletedCheckpoint {
                checkpoint,
                kind: Kind::Checkpoint,
                completed_at: 0,
                checkpoint_duration_ms: 0,
                checkpoint_alignment_ms: 0,
                longest_pause_us: 0,
                checkpoint_size_bytes: 0,
                full_size_bytes: 0,
            });
        }
        let numbers: Vec<u64> = progress.recent_checkpoints.iter().map(|made| made.checkpoint).collect();
        assert_eq!((numbers.len(), numbers[0], progress.completed_checkpoints), (RECENT_CHECKPOINTS_MAX, 6, made));
        assert_eq!(progress.last_completed_checkpoint.unwrap().checkpoint, made);
    }
}
