//! The control socket: how other processes of the same user reach a job that runs on this machine. A Unix socket; a
//! connection is one request and its answer, a line of JSON each.

pub mod address;
pub mod client;
pub mod protocol;
pub mod server;
