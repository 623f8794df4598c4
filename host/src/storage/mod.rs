//! Layer 3: checkpoints where they are kept: files of state, manifests, and the decisions that make them count.

pub mod decisions;
pub mod manifest;
pub mod state_file;
