//! Layer 1: keyed state and timers: what operators remember, by key and key group. Synchronous and without I/O; a
//! backend that needs a disk implements `KeyedState` elsewhere.

pub mod grouping;
mod index;
pub mod memory;
pub mod table;
pub mod timers;

use crate::model::key::Keys;
use crate::model::value::Values;

/// The values of an operator's states by key. One access is for all keys of a batch.
pub trait KeyedState: Send {
    /// Appends the value of each state for each of `keys`, which are distinct, to that state's column.
    fn load(&mut self, keys: &Keys, states: &mut [Values]);

    /// Makes `states` (a column for each state, a row for each key) the values of `keys`: the keys of the last `load`.
    /// A key of which every value is absent is forgotten.
    fn store(&mut self, keys: &Keys, states: &[Values]);

    /// How many keys have a value.
    fn live_keys(&self) -> usize;
}
