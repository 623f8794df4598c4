//! Layer 1: keyed state and timers: what operators remember, by key and key group. Synchronous and without I/O; a
//! backend that needs a disk implements `KeyedState` elsewhere.

pub mod grouping;
mod index;
pub mod memory;
pub mod row;
pub mod snapshot;
pub mod spill;
pub mod table;
pub mod timers;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::value::Values;

use snapshot::{ChunkSource, Frozen};

/// The values of an operator's states by key. One access is for all keys of a batch.
pub trait KeyedState: Send {
    /// Appends the value of each state for each of `keys`, which are distinct, to that state's column.
    fn load(&mut self, keys: &Keys, states: &mut [Values]) -> Result<(), Fault>;

    /// Makes `states` (a column for each state, a row for each key) the values of `keys`: the keys of the last `load`.
    /// A key of which every value is absent is forgotten.
    fn store(&mut self, keys: &Keys, states: &[Values]) -> Result<(), Fault>;

    /// How many keys have a value.
    fn live_keys(&self) -> usize;

    /// The state as it is now. What has not changed since the snapshot for the checkpoint `barrier.base` may be left
    /// out.
    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault>;

    /// Takes over the state of a checkpoint, before the first `load`. `states` says for each state of the checkpoint
    /// its width there and which state of this operator it is; one that is none of them is dropped.
    fn restore(&mut self, chunks: &mut dyn ChunkSource, states: &[FormerState]) -> Result<(), Fault>;
}

/// A state of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerState {
    /// Of its values, where it is fixed.
    pub width: Option<usize>,
    /// Its number in the operator that takes it over.
    pub number: Option<usize>,
}
