//! Layer 1: from what people write to a checked plan. Pure: whatever it must know of the world it asks an
//! `Environment`.

pub mod connector;
pub mod descriptor;
pub mod diagnostic;
pub mod environment;
pub mod explain;
pub mod fault_tolerance;
pub mod graph;
pub mod load;
pub mod location;
pub mod resolve;
mod secrets;
pub mod spec;
pub mod state_backend;

#[cfg(test)]
mod tests;
