//! Kafka, by librdkafka: topics as sources and sinks.

mod client;
mod columns;
mod faults;
mod partition;
mod partitions;
mod producer;
mod record;
mod sink;
mod source;

pub use sink::open as open_sink;
pub use source::{count_splits, open as open_source};
