//! Layer 5: jobs. Starts them, watches them, makes their checkpoints, starts them again, ends them.

pub mod calls;
pub mod checkpoint;
pub mod environment;
pub mod job;
pub mod progress;
pub mod restart;
pub mod socket;
