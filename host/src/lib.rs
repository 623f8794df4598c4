//! Wasmill: a stream processor whose operators are sandboxed WebAssembly components. `ARCHITECTURE.md` has the map.

pub mod cli;
pub mod connectors;
pub mod control;
pub mod dataplane;
pub mod model;
pub mod plan;
pub mod sandbox;
pub mod state;
pub mod storage;
pub mod store;
pub mod toolchain;
pub mod worker;
