//! Layer 3: checkpoints where they are kept: files of state, manifests, and the decisions that make them count.

pub mod decisions;
pub mod manifest;
pub mod native_files;
pub mod rocksdb;
pub mod state_file;
