//! Jobs run whole: by the program, with real plugins, on real files.

mod access_log;
mod bad_events;
mod clicks;
mod exchange;
mod hostile;
mod recovery;
