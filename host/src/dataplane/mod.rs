//! Layer 2: what happens to events. No clock, no thread, no file, no socket: a worker drives it with messages and the
//! time, and so does a test.

pub mod call_times;
pub mod channel;
pub mod dead_letter;
pub mod dead_letter_limit;
pub mod event_time;
pub mod exchange;
pub mod function;
pub mod histogram;
pub mod in_flight;
pub mod keyed;
pub mod metrics;
pub mod operator;
pub mod output_budget;
pub mod overlay;
pub mod process;
pub mod sink;
pub mod sink_writer;
pub mod snapshot;
pub mod source;
pub mod split;
pub mod task;
mod value_states;
pub mod watermark;
pub mod window;
