//! Layer 1: keyed state and timers: what operators remember, by key and key group. Synchronous and without I/O; a
//! backend that needs a disk implements `KeyedState` elsewhere.

pub mod broadcast;
pub mod entries;
pub mod evolution;
pub mod expiry;
pub mod grouping;
mod index;
pub mod key_index;
pub mod memory;
pub mod operator_state;
mod ordered;
pub mod row;
pub mod snapshot;
pub mod sorting;
pub mod spill;
pub mod table;
pub mod timers;

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::KeyHash;
use crate::model::value::Values;

use expiry::{Expired, STAMP_BYTES};
use snapshot::{ChunkSource, Frozen, cut_short};
use timers::store::TimerStore;

/// The states of an operator by key: the values of value-like states, a row for each key, and the entries of lists and
/// maps, ordered by address (`entries::address`), each in the key group of its key. One access is for all keys of a
/// batch.
pub trait KeyedState: Send {
    /// Appends the value of each value-like state for each of `keys`, which are distinct, to that state's column.
    fn load(&mut self, keys: &Keys, states: &mut [Values]) -> Result<(), Fault>;

    /// Makes `states` (a column for each value-like state, a row for each key) the values of `keys`: the keys of the last `load`.
    /// A key of which every value is absent is forgotten.
    fn store(&mut self, keys: &Keys, states: &[Values]) -> Result<(), Fault>;

    /// Appends the value at each of `addresses` (with the hashes of their keys).
    fn get_entries(&mut self, addresses: &Keys, values: &mut Values) -> Result<(), Fault>;

    /// Makes `values` the ones at `addresses`, in order; absent removes the entry.
    fn put_entries(&mut self, addresses: &Keys, values: &Values) -> Result<(), Fault>;

    /// Removes all entries whose addresses begin with one of `prefixes` (with the hashes of their keys).
    fn clear_entries(&mut self, prefixes: &Keys) -> Result<(), Fault>;

    /// Shows `visit` the entries of a range, within the key group of `hash`, in order, until it breaks off.
    fn scan_entries(&mut self, hash: KeyHash, range: AddressRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault>;

    /// The address of the last entry that begins with `prefix`, within the key group of `hash`.
    fn last_entry(&mut self, hash: KeyHash, prefix: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Looks at some values and entries, going on where the last call stopped, round and round, and removes what has
    /// expired. A round takes at most about a thousand calls, unless the state is so large that a call would take long.
    fn sweep(&mut self, expired: &Expired) -> Result<(), Fault>;

    /// How many keys have a value.
    fn live_keys(&self) -> usize;

    /// Where timers go that do not fit into memory, and what `snapshot` and `restore` care for too; none = all are in
    /// memory.
    fn timers(&mut self) -> Option<&mut dyn TimerStore> {
        None
    }

    /// The state as it is now. What has not changed since the snapshot for the checkpoint `barrier.base` may be left
    /// out.
    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault>;

    /// Takes over the state of a checkpoint, before the first `load`. `states` says for each state of the checkpoint
    /// its layout there and which state of this operator it is, whose layout must be what its conversion gives; one that
    /// is none of them is dropped.
    fn restore(&mut self, chunks: &mut dyn ChunkSource, states: &mut [FormerState]) -> Result<(), Fault>;
}

pub type AddressRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Is shown an address and its value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// How a state is kept; what expires has its time before it (`expiry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateLayout {
    /// A value in the row of its key, of so many bytes with its time, where they are the same for all.
    Value {
        width: Option<usize>,
        expires: bool,
    },
    Entries {
        expires: bool,
    },
}

impl StateLayout {
    /// Whether stored values have their time before them.
    pub fn expires(self) -> bool {
        match self {
            Self::Value { expires, .. } | Self::Entries { expires } => expires,
        }
    }
}

/// A state of a checkpoint.
pub struct FormerState {
    pub layout: StateLayout,
    /// Its number in the operator that takes it over.
    pub number: Option<usize>,
    /// Makes its values today's; absent = they are as they were.
    pub conversion: Option<Box<dyn Conversion>>,
}

/// Converts a value that was written under an older declaration of its state to the type that is declared now.
pub trait Conversion: Send {
    fn convert(&mut self, value: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// Of several states, in order; absent = its values are as they were. There may be fewer than states.
pub type Conversions = [Option<Box<dyn Conversion>>];

impl FormerState {
    /// One whose values are as they were.
    pub fn unchanged(layout: StateLayout, number: Option<usize>) -> Self {
        Self { layout, number, conversion: None }
    }

    /// Today's stored value of a former one.
    pub fn convert<'v>(&mut self, stored: &'v [u8]) -> Result<Cow<'v, [u8]>, Fault> {
        let Some(conversion) = &mut self.conversion else { return Ok(Cow::Borrowed(stored)) };
        let time_bytes = if self.layout.expires() { STAMP_BYTES } else { 0 };
        let (time, value) = stored.split_at_checked(time_bytes).ok_or_else(|| cut_short("the time of a value"))?;
        let mut converted = time.to_vec();
        converted.append(&mut conversion.convert(value)?);
        Ok(Cow::Owned(converted))
    }
}
