//! Layer 2: what happens to events. No clock, no thread, no file, no socket: a worker drives it with messages and the
//! time, and so does a test.

pub mod dead_letter;
pub mod function;
pub mod keyed;
pub mod operator;
pub mod process;
pub mod sink_writer;
pub mod split;
pub mod window;
