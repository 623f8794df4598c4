//! Kafka, by librdkafka: topics as sources and sinks.

mod client;
mod columns;
mod commit_topic;
mod epochs;
mod faults;
mod group_offsets;
mod partition;
mod partitions;
mod producer;
mod record;
mod sink;
mod source;
mod transaction;
mod transactional_sink;
mod transactions;

pub use group_offsets::GroupOffsets;
pub use partitions::{Partition, Subscription};
pub use sink::open as open_sink;
pub use source::{count_splits, open as open_source, starting_splits};
pub use transactions::open as open_transactions;
