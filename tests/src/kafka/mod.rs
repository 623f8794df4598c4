//! Topics as sources and sinks, against a real broker.

mod cluster;
mod faults;
mod restart;
mod sink;
mod source;
mod splits;
mod topic_to_topic;
