//! Wasmill: a stream processor whose operators are sandboxed WebAssembly components. `ARCHITECTURE.md` has the map.

pub mod model;
