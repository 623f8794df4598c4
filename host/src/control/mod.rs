//! Layer 5: jobs. Starts them, watches them, ends them.

pub mod environment;
pub mod job;
pub mod progress;
