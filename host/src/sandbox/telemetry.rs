//! What an operator may say: log lines and metrics, kept until its call has returned.

use std::time::{Duration, Instant};

use crate::model::id::Uid;
use crate::plan::graph::PluginLimits;

use super::bindings::wasmill::operator::telemetry::{Host as TelemetryHost, Level};
use super::store::Host;

/// Of one line; the rest is cut off.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Histogram values and counts of one call.
const OBSERVATIONS_PER_CALL_MAX: usize = 65_536;

/// Counts and histogram values, by the number of their counter or histogram.
pub type Metrics = (Vec<(u32, u64)>, Vec<(u32, f64)>);

pub struct Telemetry {
    node: Uid,
    limits: PluginLimits,
    lines: Vec<(Level, String)>,
    counts: Vec<(u32, u64)>,
    observations: Vec<(u32, f64)>,
    /// Lines of the current second, and how many of it were dropped.
    second: Instant,
    lines_of_second: u32,
    dropped: u64,
}

impl Telemetry {
    pub fn new(node: Uid, limits: PluginLimits) -> Self {
        Self {
            node,
            limits,
            lines: Vec::new(),
            counts: Vec::new(),
            observations: Vec::new(),
            second: Instant::now(),
            lines_of_second: 0,
            dropped: 0,
        }
    }

    pub fn begin(&mut self) {
        self.lines.clear();
        self.counts.clear();
        self.observations.clear();
    }

    /// The call has returned: what it said takes effect.
    pub fn commit(&mut self) {
        for (level, line) in self.lines.drain(..) {
            emit(&self.node, level, &line);
        }
        if self.dropped > 0 && self.second.elapsed() > Duration::from_secs(1) {
            let dropped = std::mem::take(&mut self.dropped);
            tracing::warn!(target: "plugin", operator = %self.node, "{dropped} log lines dropped: more than log_lines_per_second_max");
        }
    }

    /// Counters and histogram values since the last call, by number.
    pub fn take_metrics(&mut self) -> Metrics {
        (std::mem::take(&mut self.counts), std::mem::take(&mut self.observations))
    }

    fn log(&mut self, level: Level, mut line: String) {
        if self.second.elapsed() > Duration::from_secs(1) {
            self.second = Instant::now();
            self.lines_of_second = 0;
        }
        if self.lines_of_second >= self.limits.log_lines_per_second_max {
            self.dropped += 1;
            return;
        }
        self.lines_of_second += 1;
        if line.len() > LINE_BYTES_MAX {
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        }
        self.lines.push((level, line));
    }
}

fn emit(node: &Uid, level: Level, line: &str) {
    match level {
        Level::Error => tracing::error!(target: "plugin", operator = %node, "{line}"),
        Level::Warn => tracing::warn!(target: "plugin", operator = %node, "{line}"),
        Level::Info => tracing::info!(target: "plugin", operator = %node, "{line}"),
        Level::Debug => tracing::debug!(target: "plugin", operator = %node, "{line}"),
        Level::Trace => tracing::trace!(target: "plugin", operator = %node, "{line}"),
    }
}

impl TelemetryHost for Host {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.telemetry.log(level, message);
        Ok(())
    }

    fn count(&mut self, counter: u32, by: u64) -> wasmtime::Result<()> {
        if self.telemetry.counts.len() < OBSERVATIONS_PER_CALL_MAX {
            self.telemetry.counts.push((counter, by));
        }
        Ok(())
    }

    fn observe(&mut self, histogram: u32, values: Vec<f64>) -> wasmtime::Result<()> {
        let room = OBSERVATIONS_PER_CALL_MAX - self.telemetry.observations.len();
        self.telemetry.observations.extend(values.into_iter().take(room).map(|value| (histogram, value)));
        Ok(())
    }
}
