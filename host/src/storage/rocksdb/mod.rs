//! The RocksDB backend: state larger than memory. Each stateful operator has an instance in each slot, in a local folder
//! that lasts as long as the job runs; what lasts longer is in checkpoints. In front of an instance stands a bounded
//! write-back cache of rows, so that keys which come again and again do not reach RocksDB.
//!
//! Durable, as `NativeForm::RocksDb1`: a key is its key group (u16, big-endian), a byte that says what follows (`layout`),
//! and the encoded key (`model/key.rs`); a value is a row (`state/row.rs`). Of a window, the number of the pane stands before
//! the key, and a value is the accumulators of the key (`dataplane/window/durable.rs`).

mod backend;
mod cache;
mod fault;
mod instance;
mod layout;
mod linked_folder;
mod options;
mod restore;
mod snapshot;
mod sorted_file;
mod spill;
mod working_folder;

pub use backend::{RocksDb, RocksDbState, Scope};
pub use spill::RocksDbSpill;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
