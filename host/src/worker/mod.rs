//! Layer 4: slot threads, and how a plan becomes their tasks.

mod backend;
pub mod channel;
pub mod operators;
pub mod slot;
pub mod wiring;
