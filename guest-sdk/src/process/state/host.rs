//! The imported functions of the contract's interface `state`; in a native build the test driver's.

#[cfg(target_arch = "wasm32")]
pub(in crate::process) use crate::bindings::wasmill::operator::state::{append, clear, get, put, scan, touch};

#[cfg(not(target_arch = "wasm32"))]
pub(in crate::process) use crate::testing::state::{append, clear, get, put, scan, touch};
