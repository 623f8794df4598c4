//! Topics as sources and sinks, against a real broker.

mod cluster;
mod copy;
mod exactly_once;
mod faults;
mod restart;
mod savepoints;
mod security;
mod sink;
mod source;
mod splits;
mod starts;
mod three_brokers;
mod topic_to_topic;
mod two_hosts;
