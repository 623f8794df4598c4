//! Wasmill: a stream processor whose operators are sandboxed WebAssembly components. `ARCHITECTURE.md` has the map.

pub mod dataplane;
pub mod model;
pub mod plan;
