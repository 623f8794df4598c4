//! What travels on a channel.

use super::batch::Batch;
use super::checkpoint::Barrier;
use super::time::Timestamp;

#[derive(Clone, Debug)]
pub enum Message {
    Batch(Batch),
    /// No event at or before this time follows on this channel, unless it is late.
    Watermark(Timestamp),
    /// The channel's source has nothing to say for now: its watermark does not count until the next batch or watermark.
    Idle,
    /// A checkpoint is made of what came before it.
    Barrier(Barrier),
    /// Nothing follows.
    End,
}

impl Message {
    /// What a channel charges for it, in bytes: the batch that it keeps alive, or next to nothing.
    pub fn retained_bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.retained_bytes(),
            Self::Watermark(_) | Self::Idle | Self::Barrier(_) | Self::End => 0,
        }
    }
}
