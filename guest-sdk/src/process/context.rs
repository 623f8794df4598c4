//! What an operator can see and do while it deals with a row or a timer.

use super::instance::Call;
use super::ports::{Rows, same};
use super::state::Cells;
use super::{Key, Output, Port, Process, Timers};
use crate::bindings::wasmill::operator::columns::Column;
use crate::record::{Record, RecordShape};
use crate::telemetry::{Counter, Histogram, Level};
use crate::time::Timestamp;
use std::fmt::Display;

/// The context of an operator with a key: the same as [`Context`], under the name that says why state can be reached
/// through it.
pub type Keyed<'b, P> = Context<'b, P>;

/// What an operator can see and do while it deals with a row or a timer.
///
/// All that it does takes effect together, at the end of the call, and nothing of it when the row is refused.
pub struct Context<'b, P: Process> {
    pub(super) out: Rows<MainBuilder<P>>,
    pub(super) call: Call,
    keys: <P::Key<'b> as Key<'b>>::Reader,
    pub(super) times: &'b [i64],
    row_groups: &'b [u32],
    pub(super) row: u32,
    pub(super) group: u32,
    watermark: i64,
    processing_time: i64,
}

/// The builder of the main output's columns.
pub(super) type MainBuilder<P> = <<P as Process>::Out<'static> as Output<'static>>::Builder;

impl<'b, P: Process> Context<'b, P> {
    pub(super) fn new(
        out: Rows<MainBuilder<P>>,
        call: Call,
        keys: &'b [Column],
        times: &'b [i64],
        row_groups: &'b [u32],
        watermark: i64,
        processing_time: i64,
    ) -> Self {
        let keys = P::Key::reader(keys);
        Self { out, call, keys, times, row_groups, row: 0, group: 0, watermark, processing_time }
    }

    /// The key of this row or timer.
    #[inline]
    pub fn key(&self) -> P::Key<'b> {
        P::Key::read(&self.keys, self.group as usize)
    }

    /// The event time of this row, or the time that this timer was set for.
    #[inline]
    pub fn time(&self) -> Timestamp {
        assert!(!self.times.is_empty(), "an operator that asks for the time says `const READS_TIMES: bool = true`");
        Timestamp(self.times[self.row as usize])
    }

    /// Turns to a row of the batch, in [`Process::on_columns`].
    #[inline]
    pub fn at(&mut self, row: usize) -> &mut Self {
        self.row = row as u32;
        if P::Key::KEYED {
            self.group = self.row_groups[row];
        }
        self
    }

    /// No event at or before this instant is still to come.
    pub fn watermark(&self) -> Timestamp {
        Timestamp(self.watermark)
    }

    /// The machine's clock, as of this call: a replay sees the same.
    pub fn processing_time(&self) -> Timestamp {
        Timestamp(self.processing_time)
    }

    /// Emits a row with the event time of the row or timer at hand.
    #[inline(always)]
    pub fn emit(&mut self, row: P::Out<'_>) {
        self.push(None, row);
    }

    /// Emits a row with an event time of its own.
    #[inline(always)]
    pub fn emit_at(&mut self, time: Timestamp, row: P::Out<'_>) {
        self.push(Some(time.0), row);
    }

    #[inline(always)]
    fn push<'r>(&mut self, time: Option<i64>, row: P::Out<'r>) {
        assert!(!(P::Out::EXTENDS && self.call.timers_fire), "a timer has no input row to extend or keep");
        let times = self.times;
        self.out.push(self.row, time, times, |builder| {
            row.write(same::<_, <P::Out<'r> as Output<'r>>::Builder>(builder));
        });
    }

    /// Emits a row to a side output, with the event time of the row or timer at hand.
    pub fn emit_to<T: RecordShape>(&mut self, port: &Port<T>, row: T::Of<'_>) {
        self.push_to(port, None, row);
    }

    /// Emits a row to a side output, with an event time of its own.
    pub fn emit_to_at<T: RecordShape>(&mut self, port: &Port<T>, time: Timestamp, row: T::Of<'_>) {
        self.push_to(port, Some(time.0), row);
    }

    fn push_to<T: RecordShape>(&mut self, port: &Port<T>, time: Option<i64>, row: T::Of<'_>) {
        let side = &mut self.call.sides[port.number as usize - 1];
        let rows: &mut Rows<T::Builder> = side.as_any().downcast_mut().expect("the port of this operator");
        let before = rows.bytes();
        if rows.len() == 0 {
            rows.start(1);
        }
        rows.push(self.row, time, self.times, |builder| row.write_record(builder));
        self.call.side_bytes += rows.bytes() - before;
        self.call.side_rows = true;
    }

    /// Sets a timer of this key. A key has one of each name: setting it again moves it.
    pub fn wake_at(&mut self, time: Timestamp, timer: P::Timer) {
        self.call.timers.set(self.group, timer.number(), time.0);
    }

    /// Takes a timer of this key away, if it is set.
    pub fn cancel(&mut self, timer: P::Timer) {
        self.call.timers.cancel(self.group, timer.number());
    }

    /// Adds to a counter. Counts of a refused row stay, so that refusals can be counted.
    #[inline]
    pub fn count(&mut self, counter: Counter, by: u64) {
        self.call.telemetry.counters[counter.0] += by;
    }

    /// Adds a value to a histogram. One that is not a number is left out.
    pub fn observe(&mut self, histogram: Histogram, value: f64) {
        self.call.telemetry.histograms[histogram.0].push(value);
    }

    /// Writes a line to the job's log. The host keeps so many a second and drops the rest.
    ///
    /// `cx.log(Level::Warn, format_args!("{} is late", event.user))`
    pub fn log(&mut self, level: Level, message: impl Display) {
        self.call.telemetry.log(level, message);
    }

    pub(super) fn row(&self) -> u32 {
        self.row
    }

    #[inline(always)]
    pub(super) fn group(&self) -> u32 {
        self.group
    }

    #[inline(always)]
    pub(super) fn cells(&self, state: u32) -> &Cells {
        &self.call.states[state as usize]
    }

    #[inline(always)]
    pub(super) fn cells_mut(&mut self, state: u32) -> &mut Cells {
        &mut self.call.states[state as usize]
    }
}
