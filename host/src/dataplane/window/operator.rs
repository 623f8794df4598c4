//! Event-time windows in one slot: rows go into panes, and windows fire when the watermark has passed them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;

use crate::dataplane::dead_letter::{DeadLetter, oversized_keys};
use crate::dataplane::function::AggregateFunction;
use crate::dataplane::operator::{Collector, FIRED_ROWS_MAX, Operator};
use crate::dataplane::snapshot::{MemberState, OperatorSnapshot};
use crate::model::batch::{Batch, take_rows};
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::key::Keys;
use crate::model::schema::Schema;
use crate::model::time::{Micros, Timestamp};
use crate::plan::graph::WindowPlan;
use crate::state::snapshot::{Frozen, refuse_native};
use crate::state::spill::SpillStore;

use super::aggregates::{AddFailure, Aggregates, Panes, PluginRows};
use super::ahead::Fired;
use super::calendar::Calendar;
use super::due::Results;
use super::firing::{Firing, LATE};
use super::merging::Merging;
use super::reading::GroupedRows;
use super::snapshot::{self, FrozenPanes};
use super::spill::Spill;
use super::stacks::Stacks;

pub struct WindowOperator {
    uid: Uid,
    max_parallelism: u16,
    calendar: Calendar,
    allowed_lateness: Micros,
    key_bytes_max: usize,
    /// The columns of the input that are read at all; where others speak of a column, they mean its place here.
    reads: Vec<usize>,
    key: Vec<usize>,
    aggregates: Aggregates,
    /// A pane lives until the last window that it is part of is gone.
    panes: Panes,
    /// Where panes go that have no room in memory.
    spill: Option<Spill>,
    /// Of sliding windows, from one window to the next, until a pane in them changes.
    stacks: Option<Stacks>,
    firing: Firing,
    /// The window that is on its way out.
    merging: Option<Merging>,
    /// The last watermark has passed windows that have not fired.
    is_firing: bool,
    watermark: Timestamp,
    /// The first window that has not fired.
    next: i64,
    /// The first window that is not gone.
    gone_until: i64,
    // What follows is of the current batch, and reused.
    keys: Keys,
    groups: Vec<u32>,
}

/// A batch on its way into the panes.
struct Arrival<'a> {
    batch: &'a Batch,
    times: ScalarBuffer<i64>,
    columns: Vec<ArrayRef>,
    /// Rows that came too late.
    late: Vec<u32>,
    /// Groups of panes whose windows have fired already.
    changed: Vec<(i64, u32)>,
}

impl WindowOperator {
    /// `output` is the schema of the main port, `functions` are those of the plugins' aggregates, in order.
    pub fn new(
        uid: Uid,
        plan: &WindowPlan,
        key_bytes_max: usize,
        input: &Schema,
        output: Schema,
        max_parallelism: u16,
        functions: Vec<Box<dyn AggregateFunction>>,
    ) -> Self {
        let mut reads: Vec<usize> = Vec::new();
        let mut place = |column: usize| {
            reads.iter().position(|read| *read == column).unwrap_or_else(|| {
                reads.push(column);
                reads.len() - 1
            })
        };
        let key: Vec<usize> = plan.key.iter().map(|column| place(*column)).collect();
        let results = Schema::new(output.fields()[key.len() + 2..].iter().cloned());
        let aggregates = Aggregates::new(&plan.aggregates, functions, input, &mut place, &results);
        Self {
            calendar: Calendar::new(plan.window),
            allowed_lateness: plan.allowed_lateness,
            key_bytes_max,
            firing: Firing::new(uid.clone(), output, key.len(), aggregates.columns()),
            uid,
            max_parallelism,
            reads,
            key,
            aggregates,
            panes: Panes::new(),
            spill: None,
            stacks: None,
            merging: None,
            is_firing: false,
            watermark: Timestamp::MIN,
            next: i64::MIN,
            gone_until: i64::MIN,
            keys: Keys::default(),
            groups: Vec::new(),
        }
    }

    /// Panes take about `bytes_max` in memory, with their running results; those beyond it go to `store`.
    pub fn with_spill(self, store: Box<dyn SpillStore>, bytes_max: usize) -> Self {
        // Running results take what panes take.
        let bytes_max = if self.calendar.is_tumbling() { bytes_max } else { bytes_max / 2 };
        Self { spill: Some(Spill::new(store, self.max_parallelism, bytes_max)), ..self }
    }

    /// How many panes hold rows.
    pub fn live_panes(&self) -> usize {
        self.panes.len()
    }

    /// What panes take in memory, if that is bounded.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.spill.as_ref().map_or(0, Spill::bytes)
    }

    /// Puts rows of a batch into their pane, or says that they are late.
    fn arrive(&mut self, pane: i64, rows: Option<&[u32]>, arrival: &mut Arrival<'_>, out: &mut Collector) {
        if self.calendar.windows_of(pane).is_empty() {
            return;
        }
        if pane < self.calendar.first_pane_of(self.gone_until) {
            match rows {
                Some(rows) => arrival.late.extend(rows),
                None => arrival.late.extend(0..arrival.times.len() as u32),
            }
            return;
        }
        self.add(pane, rows, arrival, out);
        if self.stacks.as_ref().is_some_and(|stacks| stacks.has_passed(pane)) {
            self.stacks = None;
        }
    }

    /// One call for these rows or, where that would be too large, for each half of the groups, or, where a plugin
    /// fails, for each half of the rows, down to the row that makes it fail.
    fn add(&mut self, pane: i64, rows: Option<&[u32]>, arrival: &mut Arrival<'_>, out: &mut Collector) {
        let Err(failure) = self.try_add(pane, rows, arrival) else { return };
        let all: Vec<u32>;
        let rows = match rows {
            Some(rows) => rows,
            None => {
                all = (0..arrival.times.len() as u32).collect();
                &all
            }
        };
        if let AddFailure::TooLarge = failure {
            let (first, second) = self.aggregates.halve(rows);
            self.add(pane, Some(&first), arrival, out);
            self.add(pane, Some(&second), arrival, out);
        } else if rows.len() > 1 {
            let (first, second) = rows.split_at(rows.len() / 2);
            self.add(pane, Some(first), arrival, out);
            self.add(pane, Some(second), arrival, out);
        } else if let Err(AddFailure::Call(failure)) = self.try_add(pane, Some(rows), arrival) {
            out.dead_letters.push(DeadLetter::of_row(&self.uid, arrival.batch, rows[0], failure.reason));
        }
    }

    /// Adds the rows to all aggregates, or to none.
    fn try_add(&mut self, pane: i64, rows: Option<&[u32]>, arrival: &mut Arrival<'_>) -> Result<(), AddFailure> {
        // A pane that a snapshot still holds is copied, once.
        let table = Arc::make_mut(self.panes.entry(pane).or_insert_with(|| Arc::new(self.aggregates.table())));
        let before = table.len();
        self.groups.clear();
        let mut group = |row: usize| table.index.find_or_insert(self.keys.get(row), self.keys.hash(row));
        match rows {
            None => self.groups.extend((0..arrival.times.len()).map(&mut group)),
            Some(rows) => self.groups.extend(rows.iter().map(|row| group(*row as usize))),
        }
        table.fit();
        if self.aggregates.has_plugins {
            let (times, columns) = arrival.rows(rows);
            let call = PluginRows { times: &times, columns: &columns };
            if let Err(failure) = self.aggregates.add_plugins(&mut table.columns, &self.groups, &call) {
                table.index.truncate(before);
                table.fit();
                return Err(failure);
            }
        }
        let grouped = GroupedRows { rows, groups: &self.groups };
        self.aggregates.add_native(&mut table.columns, grouped, &arrival.columns);
        if let Some(spill) = &mut self.spill {
            spill.added(pane, self.groups.len(), table);
        }
        if !fired(self.calendar.windows_of(pane), self.gone_until, self.next).is_empty() {
            arrival.changed.extend(self.groups.iter().map(|group| (pane, *group)));
        }
        Ok(())
    }

    /// Windows that have fired and were changed by late rows fire again, for the keys of these.
    fn fire_again(&mut self, mut changed: Vec<(i64, u32)>, out: &mut Collector) -> Result<(), Fault> {
        if changed.is_empty() {
            return Ok(());
        }
        changed.sort_unstable();
        changed.dedup();
        let mut windows = BTreeSet::new();
        for pane in changed.chunk_by(|a, b| a.0 == b.0) {
            windows.extend(fired(self.calendar.windows_of(pane[0].0), self.gone_until, self.next));
        }
        let mut results = Results { firing: &mut self.firing, aggregates: &mut self.aggregates, out };
        for window in windows {
            let panes = self.calendar.panes_of(window);
            let start = changed.partition_point(|(pane, _)| *pane < panes.start);
            let end = changed.partition_point(|(pane, _)| *pane < panes.end);
            results.changed(
                &self.panes,
                self.spill.as_mut(),
                panes,
                self.calendar.window_times(window),
                &changed[start..end],
            )?;
        }
        results.flush()
    }

    /// Moves panes to the store, if there are more than memory has room for.
    fn make_room(&mut self) -> Result<(), Fault> {
        let Some(spill) = self.spill.as_mut().filter(|spill| spill.is_over()) else { return Ok(()) };
        self.stacks = None;
        spill.make_room(&mut self.panes, &mut self.aggregates)
    }

    /// The first window before `due` that has not fired, and has rows.
    fn next_window(&self, due: i64) -> Option<i64> {
        if self.next >= due {
            return None;
        }
        let (pane, _) = self.panes.range(self.calendar.first_pane_of(self.next)..).next()?;
        Some(self.next.max(self.calendar.windows_of(*pane).start)).filter(|window| *window < due)
    }

    /// Makes the results of a window, or begins to.
    fn fire(&mut self, window: i64, out: &mut Collector) -> Result<(), Fault> {
        let (panes, times) = (self.calendar.panes_of(window), self.calendar.window_times(window));
        if let Some(spill) = self.spill.as_ref().filter(|spill| spill.holds_any(panes.clone())) {
            self.stacks = None;
            self.merging = Some(Merging::new(&self.panes, panes, times, spill));
            return Ok(());
        }
        if self.calendar.is_tumbling() {
            let mut results = Results { firing: &mut self.firing, aggregates: &mut self.aggregates, out };
            return results.pane(&self.panes[&panes.start], times);
        }
        match &mut self.stacks {
            Some(stacks) => stacks.advance(&self.panes, panes, &mut self.aggregates),
            none => *none = Some(Stacks::build(&self.panes, panes, &mut self.aggregates)),
        }
        let Some(stacks) = &self.stacks else { return Ok(()) };
        Results { firing: &mut self.firing, aggregates: &mut self.aggregates, out }.stacks(stacks, times)
    }

    /// Goes on with the window that is on its way out, as long as there is room for its results; whether it is out.
    fn go_on(&mut self, out: &mut Collector) -> Result<bool, Fault> {
        let (Some(merging), Some(spill)) = (&mut self.merging, &mut self.spill) else { return Ok(true) };
        loop {
            if out.rows() >= FIRED_ROWS_MAX {
                return Ok(false);
            }
            let mut results = Results { firing: &mut self.firing, aggregates: &mut self.aggregates, out };
            if !merging.advance(spill, &mut results)? {
                self.merging = None;
                return Ok(true);
            }
        }
    }

    /// Forgets panes that no window needs any more.
    fn forget(&mut self) {
        self.gone_until = self.calendar.gone_until(self.watermark, self.allowed_lateness);
        let live = self.calendar.first_pane_of(self.gone_until);
        if self.panes.first_key_value().is_some_and(|(pane, _)| *pane < live) {
            self.panes = self.panes.split_off(&live);
            if let Some(spill) = &mut self.spill {
                spill.forget_before(live);
            }
        }
        if self.panes.is_empty() {
            self.stacks = None;
        }
    }
}

impl Operator for WindowOperator {
    fn on_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<(), Fault> {
        let mut arrival = Arrival::new(&batch, &self.reads);
        let (Some(first), Some(last)) = (arrival.times.iter().min(), arrival.times.iter().max()) else {
            return Ok(());
        };
        let (first, last) = (self.calendar.pane_at(*first), self.calendar.pane_at(*last));
        let key: Vec<ArrayRef> = self.key.iter().map(|place| Arc::clone(&arrival.columns[*place])).collect();
        self.keys.encode_hashed(&key, batch.rows(), batch.key_hashes());
        let oversized = oversized_keys(&self.keys, self.key_bytes_max);
        if !oversized.is_empty() {
            let (rest, long) = batch.compact().without(oversized);
            let letters = long.into_iter().map(|(row, reason)| DeadLetter::of_row(&self.uid, &row, 0, reason));
            out.dead_letters.extend(letters);
            return self.on_batch(rest, out);
        }
        if first == last {
            self.arrive(first, None, &mut arrival, out);
        } else {
            let (panes, rows) = self.calendar.sort_into_panes(&arrival.times);
            let mut start = 0;
            for panes in panes.chunk_by(|a, b| a == b) {
                self.arrive(panes[0], Some(&rows[start..start + panes.len()]), &mut arrival, out);
                start += panes.len();
            }
        }
        let Arrival { mut late, changed, .. } = arrival;
        if !late.is_empty() {
            late.sort_unstable();
            out.late_rows += late.len() as u64;
            out.emit(LATE, batch.select(late));
        }
        self.fire_again(changed, out)?;
        self.make_room()
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Collector) -> Result<(), Fault> {
        if watermark <= self.watermark && !self.has_more() {
            return Ok(());
        }
        self.watermark = watermark;
        self.is_firing = true;
        let due = self.calendar.due_until(watermark);
        while self.go_on(out)? {
            let Some(window) = self.next_window(due) else {
                self.is_firing = false;
                break;
            };
            if out.rows() >= FIRED_ROWS_MAX {
                break;
            }
            self.fire(window, out)?;
            self.next = window + 1;
        }
        if self.is_firing {
            return Ok(());
        }
        self.next = due;
        Results { firing: &mut self.firing, aggregates: &mut self.aggregates, out }.flush()?;
        self.firing.fired.take_if(|fired| fired.is_past(watermark));
        self.forget();
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.is_firing
    }

    fn restore(&mut self, state: &mut MemberState) -> Result<(), Fault> {
        self.watermark = state.progress.input;
        self.firing.fired = Fired::new(&state.ahead, self.watermark, self.max_parallelism);
        self.next = self.calendar.due_until(self.watermark);
        self.gone_until = self.calendar.gone_until(self.watermark, self.allowed_lateness);
        let (chunks, conversions, spill) = (state.chunks.as_mut(), &mut state.accumulators[..], &mut self.spill);
        match spill {
            Some(spill) => spill.restore(chunks, &mut self.panes, &self.aggregates, conversions)?,
            None => refuse_native(chunks)?,
        }
        let (aggregates, panes) = (&mut self.aggregates, &mut self.panes);
        snapshot::restore(chunks, aggregates, panes, conversions, |number, rows, panes, aggregates| {
            let Some(spill) = spill else { return Ok(()) };
            spill.added(number, rows, &panes[&number]);
            if spill.is_over() { spill.make_room(panes, aggregates) } else { Ok(()) }
        })
    }

    /// All panes in memory: most of them change between two checkpoints, or are gone.
    fn snapshot(&mut self, barrier: &Barrier) -> Result<OperatorSnapshot, Fault> {
        let spilled = match &mut self.spill {
            Some(spill) => spill.snapshot(barrier, &mut self.panes, &mut self.aggregates)?,
            None => None,
        };
        let panes = FrozenPanes { panes: self.panes.clone(), max_parallelism: self.max_parallelism };
        let mut frozen: Vec<Box<dyn Frozen>> = vec![Box::new(panes)];
        frozen.extend(spilled);
        let ahead = self.firing.fired.as_ref().map_or_else(Vec::new, |fired| fired.ahead(self.watermark));
        Ok(OperatorSnapshot { frozen, ahead, ..OperatorSnapshot::default() })
    }
}

/// Of some windows those that have fired and are not gone.
fn fired(windows: Range<i64>, gone_until: i64, next: i64) -> Range<i64> {
    windows.start.max(gone_until)..windows.end.min(next)
}

impl<'a> Arrival<'a> {
    fn new(batch: &'a Batch, reads: &[usize]) -> Self {
        let columns: Vec<ArrayRef> = reads.iter().map(|read| Arc::clone(batch.column(*read))).collect();
        let (times, columns) = match batch.selection() {
            None => (batch.times().clone(), columns),
            Some(rows) => {
                let times = rows.iter().map(|row| batch.times()[*row as usize]).collect();
                (times, take_rows(&columns, &rows.to_vec().into()))
            }
        };
        Self { batch, times, columns, late: Vec::new(), changed: Vec::new() }
    }

    /// Times and columns of some rows.
    fn rows(&self, rows: Option<&[u32]>) -> (ScalarBuffer<i64>, Vec<ArrayRef>) {
        match rows {
            None => (self.times.clone(), self.columns.clone()),
            Some(rows) => {
                let times = rows.iter().map(|row| self.times[*row as usize]).collect();
                (times, take_rows(&self.columns, &rows.to_vec().into()))
            }
        }
    }
}
