//! Checkpoints of a running job. The coordinator is pure: events in, actions out. The driver is a thread that feeds it
//! and performs the actions; writers put frozen state into files.

mod beginning;
pub mod catalog;
mod checked_keys;
pub mod claim;
pub mod compatibility;
pub mod coordinator;
pub mod decisions;
pub mod driver;
pub mod intent;
mod positions;
pub mod progress;
pub mod reading;
pub mod record;
pub mod restore;
pub mod retention;
pub mod savepoint;
pub mod writer;
