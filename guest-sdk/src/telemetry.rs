//! Log lines and metrics, gathered while a call runs and handed over at its end.

use std::fmt::Display;

/// A metric that only grows, declared with [`Open::counter`](crate::Open::counter).
#[derive(Clone, Copy, Debug)]
pub struct Counter(pub(crate) usize);

/// A metric of how values are distributed, declared with [`Open::histogram`](crate::Open::histogram).
#[derive(Clone, Copy, Debug)]
pub struct Histogram(pub(crate) usize);

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// something is wrong
    Error,
    /// something may be wrong
    Warn,
    /// good to know
    Info,
    /// for finding out what happens
    Debug,
    /// for finding out everything
    Trace,
}

/// What one call has to say.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    pub(crate) lines: Vec<(Level, String)>,
    pub(crate) counters: Vec<u64>,
    pub(crate) histograms: Vec<Vec<f64>>,
}

impl Telemetry {
    pub(crate) fn new(counters: usize, histograms: usize) -> Self {
        Self {
            lines: Vec::new(),
            counters: vec![0; counters],
            histograms: vec![Vec::new(); histograms],
        }
    }

    pub(crate) fn log(&mut self, level: Level, message: impl Display) {
        self.lines.push((level, message.to_string()));
    }

    /// Hands everything to the host. In a native build there is none: the test driver reads it instead.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn deliver(&mut self) {
        use crate::bindings::wasmill::operator::telemetry;
        for (level, message) in self.lines.drain(..) {
            let level = match level {
                Level::Error => telemetry::Level::Error,
                Level::Warn => telemetry::Level::Warn,
                Level::Info => telemetry::Level::Info,
                Level::Debug => telemetry::Level::Debug,
                Level::Trace => telemetry::Level::Trace,
            };
            telemetry::log(level, &message);
        }
        for (counter, by) in self
            .counters
            .iter_mut()
            .enumerate()
            .filter(|(_, by)| **by > 0)
        {
            telemetry::count(counter as u32, std::mem::take(by));
        }
        for (histogram, values) in self
            .histograms
            .iter_mut()
            .enumerate()
            .filter(|(_, values)| !values.is_empty())
        {
            telemetry::observe(histogram as u32, values);
            values.clear();
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn deliver(&mut self) {}
}
