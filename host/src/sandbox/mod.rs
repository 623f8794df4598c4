//! Layer 3: the sandbox. Only this folder knows wasmtime; the rest of the host sees `plan::environment` and
//! `dataplane::function`.

mod bindings;
pub mod component;
mod describe;
pub mod engine;
pub mod instance;
mod lift;
mod lower;
mod state;
pub mod store;
mod telemetry;

pub mod aggregate;
pub mod process;
