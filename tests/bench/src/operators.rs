//! The operators that are measured, from the very source that their components are built of.
#![allow(dead_code, reason = "not all of them are measured")]

#[path = "../../../plugins/clicks/src/lib.rs"]
pub mod clicks;
#[path = "../../../plugins/filter-payload/src/lib.rs"]
pub mod filter_payload;
#[path = "../../../plugins/map/src/lib.rs"]
pub mod map;
#[path = "../../../plugins/measured/src/lib.rs"]
pub mod measured;
