//! Timers of keys.

use crate::bindings::wasmill::operator::calls::{TimerCancellations, TimerSettings};

/// The timers of an operator: an enum, a variant for each. A unit struct is a single timer.
///
/// Each key has at most one timer of each variant: setting it again moves it. A variant's name, in kebab case, is
/// durable: checkpoints know the timer by it, `#[timer(rename = "..")]` keeps it when the variant is renamed.
///
/// ```
/// use wasmill_sdk::prelude::*;
/// #[derive(Timers)]
/// enum Wake {
///     /// fires when the watermark reaches its time
///     Quiet,
///     /// fires when the machine's clock does
///     #[timer(processing_time)]
///     Flush,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of timers",
    note = "write `#[derive(Timers)]` on an enum or a unit struct, or `type Timer = NoTimers`"
)]
pub trait Timers: Sized {
    #[doc(hidden)]
    const TIMERS: &'static [(&'static str, Clock)];
    #[doc(hidden)]
    fn number(&self) -> u32;
    #[doc(hidden)]
    fn from_number(number: u32) -> Self;
}

/// What time is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// the times of events, as far as the watermark says
    EventTime,
    /// the machine's clock
    ProcessingTime,
}

/// For an operator without timers.
#[derive(Clone, Copy, Debug)]
pub enum NoTimers {}

impl Timers for NoTimers {
    const TIMERS: &'static [(&'static str, Clock)] = &[];
    fn number(&self) -> u32 {
        match *self {}
    }
    fn from_number(number: u32) -> Self {
        panic!("the host fired timer {number} of an operator without timers")
    }
}

#[derive(Clone, Copy)]
enum Change {
    None,
    Set(i64),
    Cancel,
}

/// What a call did to timers: a cell for each timer of each group.
#[derive(Default)]
pub(super) struct Changes {
    timers: usize,
    groups: usize,
    /// empty until the first change
    cells: Vec<Change>,
    /// the cells that the row at hand changed, and what they were
    undo: Vec<(usize, Change)>,
}

impl Changes {
    pub(super) fn start(&mut self, timers: usize, groups: usize) {
        (self.timers, self.groups) = (timers, groups);
        self.cells.clear();
        self.undo.clear();
    }

    /// Starts a row, of which nothing is to be undone yet.
    #[inline(always)]
    pub(super) fn start_row(&mut self) {
        self.undo.clear();
    }

    pub(super) fn undo_row(&mut self) {
        while let Some((cell, was)) = self.undo.pop() {
            self.cells[cell] = was;
        }
    }

    /// Whether this call has moved or cancelled a timer.
    pub(super) fn touched(&self, group: u32, timer: u32) -> bool {
        let cell = group as usize * self.timers + timer as usize;
        !matches!(self.cells.get(cell), None | Some(Change::None))
    }

    pub(super) fn set(&mut self, group: u32, timer: u32, time: i64) {
        self.change(group, timer, Change::Set(time));
    }

    pub(super) fn cancel(&mut self, group: u32, timer: u32) {
        self.change(group, timer, Change::Cancel);
    }

    fn change(&mut self, group: u32, timer: u32, change: Change) {
        if self.cells.is_empty() {
            self.cells.resize(self.timers * self.groups, Change::None);
        }
        let cell = group as usize * self.timers + timer as usize;
        self.undo.push((cell, std::mem::replace(&mut self.cells[cell], change)));
    }

    /// Each changed (group, timer) once.
    pub(super) fn finish(&mut self) -> (TimerSettings, TimerCancellations) {
        let mut set = TimerSettings { groups: Vec::new(), timers: Vec::new(), times: Vec::new() };
        let mut cancelled = TimerCancellations { groups: Vec::new(), timers: Vec::new() };
        for (cell, change) in self.cells.iter().enumerate() {
            let (group, timer) = ((cell / self.timers) as u32, (cell % self.timers) as u32);
            match *change {
                Change::None => {}
                Change::Set(time) => {
                    set.groups.push(group);
                    set.timers.push(timer);
                    set.times.push(time);
                }
                Change::Cancel => {
                    cancelled.groups.push(group);
                    cancelled.timers.push(timer);
                }
            }
        }
        self.cells.clear();
        (set, cancelled)
    }
}
