//! Layer 0: the words that every other layer speaks. Nothing here does I/O, reads a clock or starts a thread.

pub mod batch;
pub mod bytes;
pub mod checkpoint;
pub mod decision;
pub mod fail_point;
pub mod fault;
pub mod id;
pub mod json;
pub mod key;
pub mod key_group;
pub mod message;
pub mod schema;
pub mod time;
pub mod type_name;
pub mod value;
