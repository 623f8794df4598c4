//! What a sink connector is to the data plane.

use crate::model::batch::Batch;
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;

/// Output that is durable and not yet visible, as JSON that its connector understands.
pub type Committable = serde_json::Value;

/// Writes the rows of one sink that one slot sees.
pub trait SinkWriter: Send {
    /// Whether it takes more rows now: `false` is back-pressure, asked again when time has passed. What comes all the same
    /// is taken.
    fn is_ready(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }

    /// Takes the rows of a batch that count; they may stay in a bounded buffer until `flush`.
    fn write(&mut self, batch: &Batch) -> Result<(), Fault>;

    /// Makes what was written visible to readers.
    fn flush(&mut self) -> Result<(), Fault>;

    /// What was written since the last call belongs to `checkpoint`: makes it durable, and returns what it takes to make
    /// it visible to readers when the checkpoint is complete (`connectors::Committer`); nothing, where the transaction of
    /// the checkpoint does (`connectors::Transactions`). A sink that cannot hide what it writes flushes, and delivers at
    /// least once.
    fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Vec<Committable>, Fault> {
        self.flush()?;
        Ok(Vec::new())
    }

    /// Flushes and closes: nothing follows.
    fn finish(&mut self) -> Result<(), Fault>;
}
