//! Topics as sources and sinks, against a real broker.

mod cluster;
mod exactly_once;
mod faults;
mod restart;
mod sink;
mod source;
mod splits;
mod topic_to_topic;
