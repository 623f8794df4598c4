//! Jobs run whole: by the program, with real plugins, on real files.

mod access_log;
mod bad_events;
mod broadcast;
pub mod clicks;
mod exchange;
mod hostile;
mod parquet;
pub mod recovery;
mod rules;
mod state_backends;
mod state_evolution;
mod state_kinds;
mod timers;
