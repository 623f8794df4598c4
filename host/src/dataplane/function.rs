//! User code as the data plane sees it: one call a batch. `sandbox/` implements these with Wasm instances; a test or
//! a bench may with plain Rust.

use arrow_array::ArrayRef;

use crate::model::time::Timestamp;
use crate::model::value::Values;

use super::overlay::Overlay;

/// Why a call had no effect: it trapped, broke a limit, or returned what the contract does not allow. The function
/// itself is usable again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    pub reason: String,
}

impl CallFailure {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A `process` operator (`wit/operator.wit`). Deterministic: what it returns depends on its arguments alone, and so does
/// what it leaves in `state`: the lists and maps of the call's keys, which it may read and write while it runs.
pub trait ProcessFunction: Send {
    fn on_batch(&mut self, batch: &BatchCall<'_>, state: &mut Overlay) -> Result<Step, CallFailure>;
    fn on_timers(&mut self, due: &DueCall<'_>, state: &mut Overlay) -> Result<Step, CallFailure>;

    /// The last answer was refused, and has no effect: neither may what the call has left in a memory of the function's own.
    fn forget(&mut self) {}
}

/// The distinct keys of a call, and their state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groups<'a> {
    pub count: usize,
    /// For each row the number of its key.
    pub of_rows: &'a [u32],
    /// The key's columns, a row for each key.
    pub keys: &'a [ArrayRef],
    /// For each value-like state its values, a row for each key.
    pub states: &'a [Values],
}

#[derive(Clone, Copy, Debug)]
pub struct BatchCall<'a> {
    pub input: usize,
    pub rows: usize,
    /// Empty unless the descriptor's `reads_times`.
    pub times: &'a [i64],
    /// Those that the descriptor reads.
    pub columns: &'a [ArrayRef],
    pub groups: Groups<'a>,
    pub watermark: Timestamp,
    pub processing_time: Timestamp,
}

/// Timers that are due, a row each.
#[derive(Clone, Copy, Debug)]
pub struct DueCall<'a> {
    pub timers: &'a [u32],
    pub times: &'a [i64],
    pub groups: Groups<'a>,
    pub watermark: Timestamp,
    pub processing_time: Timestamp,
}

/// What a call did. Whoever returns one has checked it: columns fit the port's schema and each other, rows and groups
/// exist, no port and no state stands twice, and no timer of a group, be it set or cancelled.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Rows dealt with, the first ones; at least one.
    pub consumed: usize,
    pub outputs: Vec<PortRows>,
    /// The new values of value-like states, by their number among those, for every group.
    pub states: Vec<(usize, Values)>,
    pub timers_set: Vec<TimerSetting>,
    pub timers_cancelled: Vec<TimerName>,
    /// Rows that the author's code refused, and why.
    pub rejected: Vec<(u32, String)>,
    /// Counters and histograms by number.
    pub counts: Vec<(u32, u64)>,
    pub observations: Vec<(u32, f64)>,
}

#[derive(Clone, Debug)]
pub struct PortRows {
    pub port: usize,
    pub rows: usize,
    /// The input row of each output row; `None` = output row i comes from input row i.
    pub origins: Option<Vec<u32>>,
    /// `None` = the origin's.
    pub times: Option<Vec<i64>>,
    /// The columns that the port writes.
    pub columns: Vec<ArrayRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerName {
    pub group: u32,
    pub timer: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerSetting {
    pub name: TimerName,
    pub at: Timestamp,
}

/// An `aggregate` operator: pure, for many groups at once. An absent accumulator is a fresh one.
pub trait AggregateFunction: Send {
    /// Adds row `i` to the accumulator `groups[i]`; returns all of them.
    fn add(
        &mut self,
        accumulators: &Values,
        groups: &[u32],
        times: &[i64],
        columns: &[ArrayRef],
    ) -> Result<Values, CallFailure>;

    /// Merges accumulator `i` into result `results[i]` (`size` of them), in order.
    fn merge(&mut self, accumulators: &Values, results: &[u32], size: usize) -> Result<Values, CallFailure>;

    /// The columns of the main output, a row for each accumulator, whose window is `[start, end)`.
    fn finish(&mut self, accumulators: &Values, starts: &[i64], ends: &[i64]) -> Result<Vec<ArrayRef>, CallFailure>;
}
