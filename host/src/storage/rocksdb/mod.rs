//! The RocksDB backend: state larger than memory. Each stateful operator has an instance in each slot, in a local folder
//! that lasts as long as the job runs; what lasts longer is in checkpoints. In front of an instance stands a bounded
//! write-back cache of rows, so that keys which come again and again do not reach RocksDB.
//!
//! Timers that do not fit into memory are in it too (`timers`), once by key and once by time.
//!
//! Entries of lists and maps go straight to RocksDB, those of a call in one batch: its write buffer is the cache.
//!
//! Durable, as `NativeForm::RocksDb1`: a key is its key group (u16, big-endian), a byte that says what follows (`layout`),
//! and the encoded key (`model/key.rs`) of a row (`state/row.rs`) or of timers (`state/timers/store.rs`), once with the
//! first of their times before it, or the address of an entry (`state/entries.rs`). Of a window, the number of the pane
//! stands before the key, and a value is the accumulators of the key (`dataplane/window/durable.rs`).

mod backend;
mod cache;
mod entries;
mod fault;
mod instance;
mod layout;
mod linked_folder;
mod options;
mod restore;
mod snapshot;
mod sorted_file;
mod spill;
mod sweep;
mod timers;
mod working_folder;

pub use backend::{RocksDb, RocksDbState, Scope, TakeEntry};
pub use spill::RocksDbSpill;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
