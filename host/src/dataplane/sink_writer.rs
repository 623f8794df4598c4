//! What a sink connector is to the data plane.

use crate::model::batch::Batch;
use crate::model::fault::Fault;

/// Writes the rows of one sink that one slot sees.
pub trait SinkWriter: Send {
    /// Takes the rows of a batch that count; they may stay in a bounded buffer until `flush`.
    fn write(&mut self, batch: &Batch) -> Result<(), Fault>;

    /// Makes what was written visible to readers.
    fn flush(&mut self) -> Result<(), Fault>;

    /// Flushes and closes: nothing follows.
    fn finish(&mut self) -> Result<(), Fault>;
}
