//! An opened operator, and what a call of it does.

use super::broadcast::BroadcastInput;
use super::context::{Context, MainBuilder};
use super::open::{Open, Reads};
use super::ports::{AnyRows, Rows};
use super::state::{AnyEntries, Cells};
use super::timers::Changes;
use super::{Columns, Input, Key, Output, Process, Timers};
use crate::bindings::wasmill::operator::calls::{Batch, Due, GroupState, Rejection, Step};
use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::bindings::wasmill::operator::descriptors::{
    Descriptor, Inheritance, OutputPort, StateInfo, StateKind, TimerInfo,
};
use crate::error::{Error, Outcome};
use crate::record::bits;
use crate::schema::Schema;
use crate::telemetry::Telemetry;

/// A call stops at the row after which its output has this many bytes, and the host calls again with the rest.
pub const OUTPUT_LIMIT: usize = 4 << 20;

/// An opened operator.
pub(crate) struct Instance<P: Process> {
    pub(super) operator: P,
    /// the columns that rows must have a value in though their schema does not promise it
    required: Vec<(usize, String)>,
    pub(super) broadcast: Option<BroadcastInput<P>>,
    pub(super) out: Rows<MainBuilder<P>>,
    pub(super) call: Option<Call>,
}

/// What a call gathers, apart from the rows of the main output.
pub(super) struct Call {
    /// the value-like states
    pub(super) cells: Vec<Cells>,
    /// the lists and maps
    pub(super) entries: Vec<Box<dyn AnyEntries>>,
    pub(super) timers: Changes,
    pub(super) sides: Vec<Box<dyn AnyRows>>,
    pub(super) side_bytes: usize,
    /// the row at hand, or one before it, has emitted to a side output
    pub(super) side_rows: bool,
    /// timers fire in this call: there are no input rows
    pub(super) timers_fire: bool,
    pub(super) telemetry: Telemetry,
    rejected: Vec<Rejection>,
}

impl<P: Process> Instance<P> {
    const HAS_TIMERS: bool = !P::Timer::TIMERS.is_empty();

    /// Opens an operator over inputs of these schemas.
    pub(crate) fn open(config: &str, inputs: &[Schema]) -> Result<(Self, Descriptor), Error> {
        let [input] = inputs else {
            return Err(format!("it has one input, and is given {}", inputs.len()).into());
        };
        Self::open_on(config, input, None)
    }

    /// `broadcast` is its second input.
    pub(super) fn open_on(
        config: &str,
        input: &Schema,
        broadcast: Option<BroadcastInput<P>>,
    ) -> Result<(Self, Descriptor), Error> {
        let mut columns = Schema::default();
        P::Out::describe(&mut columns);
        let inheritance = if P::Out::EXTENDS { Inheritance::Extends } else { Inheritance::New };
        let mut open = Open {
            config,
            input,
            reads: Reads::default(),
            states: Vec::new(),
            cells: Vec::new(),
            entries: Vec::new(),
            ports: vec![OutputPort { name: "main".to_owned(), columns: columns.to_wire(), inheritance }],
            sides: Vec::new(),
            counters: Vec::new(),
            histograms: Vec::new(),
        };
        let mut need = Schema::default();
        P::In::need(&mut need);
        open.reads.add(input, &need)?;
        let operator = P::open(&mut open)?;
        let is_broadcast = |state: &StateInfo| state.kind == StateKind::Broadcast;
        if let Some(state) = open.states.iter().find(|state| is_broadcast(state)) {
            if broadcast.is_none() {
                let name = &state.name;
                return Err(format!(
                    "state `{name}` is broadcast state, and the operator has no broadcast input: implement `Broadcast`, \
                     and write `export!(broadcast: ..)`"
                )
                .into());
            }
            if state.time_to_live.is_some() {
                return Err(format!("state `{}` is broadcast state, which does not expire", state.name).into());
            }
        }
        let is_of_slot = |state: &StateInfo| matches!(state.kind, StateKind::OperatorSplit | StateKind::OperatorUnion);
        if P::Key::KEYED {
            if let Some(state) = open.states.iter().find(|state| is_of_slot(state)) {
                return Err(
                    format!("state `{}` is of a slot, and the operator has a key: use `list`", state.name).into()
                );
            }
        } else {
            if let Some(state) = open.states.iter().find(|state| !is_of_slot(state) && !is_broadcast(state)) {
                return Err(format!("state `{}` needs a key: `type Key` is `()`", state.name).into());
            }
            if let Some((timer, _)) = P::Timer::TIMERS.first() {
                return Err(format!("timer `{timer}` needs a key: `type Key` is `()`").into());
            }
        }
        once("state", open.states.iter().map(|state| &*state.name))?;
        once("output", open.ports.iter().map(|port| &*port.name))?;
        once("metric", open.counters.iter().chain(&open.histograms).map(|name| &**name))?;
        let call = Call {
            cells: open.cells,
            entries: open.entries,
            timers: Changes::default(),
            sides: open.sides,
            side_bytes: 0,
            side_rows: false,
            timers_fire: false,
            telemetry: Telemetry::new(open.counters.len(), open.histograms.len()),
            rejected: Vec::new(),
        };
        let timers = P::Timer::TIMERS.iter();
        let broadcast_reads = broadcast.as_ref().map(|broadcast| broadcast.reads.columns.clone());
        let descriptor = Descriptor {
            reads: [open.reads.columns].into_iter().chain(broadcast_reads).collect(),
            reads_times: P::READS_TIMES,
            outputs: open.ports,
            states: open.states,
            timers: timers
                .map(|(name, clock)| TimerInfo { name: (*name).to_owned(), clock: (*clock).into() })
                .collect(),
            counters: open.counters,
            histograms: open.histograms,
        };
        let required = open.reads.required;
        Ok((Self { operator, required, broadcast, out: Rows::default(), call: Some(call) }, descriptor))
    }

    pub(crate) fn operator(&self) -> &P {
        &self.operator
    }

    /// What the last calls had to say; the test driver asks.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn telemetry(&mut self) -> &mut Telemetry {
        &mut self.call.as_mut().expect("no call is running").telemetry
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn state_widths(&self) -> Vec<Option<usize>> {
        let call = self.call.as_ref().expect("no call is running");
        let cells = call.cells.iter().map(|cells| (cells.state(), cells.width()));
        let mut widths: Vec<_> = cells.chain(call.entries.iter().map(|entries| entries.width())).collect();
        widths.sort_by_key(|(state, _)| *state);
        widths.into_iter().map(|(_, width)| width).collect()
    }

    pub(crate) fn on_batch(&mut self, mut batch: Batch) -> Step {
        let states = std::mem::take(&mut batch.states);
        self.on_borrowed(&batch, states)
    }

    /// `states` are the batch's.
    pub(crate) fn on_borrowed(&mut self, batch: &Batch, states: Vec<GroupState>) -> Step {
        if batch.input != 0 {
            let broadcast = self.broadcast.as_ref().expect("the host passes rows of inputs that the operator has");
            return (broadcast.on_batch)(self, batch);
        }
        self.start(batch.rows, batch.groups, states);
        let (step, context) = self.rows(Rowwise {
            rows: batch.rows as usize,
            columns: &batch.columns,
            times: &batch.times,
            row_groups: &batch.row_groups,
            keys: &batch.keys,
            watermark: batch.watermark,
            processing_time: batch.processing_time,
        });
        (self.out, self.call) = context;
        step
    }

    fn rows<'b>(&mut self, batch: Rowwise<'b>) -> (Step, Parts<P>) {
        let nulls = nulls(&self.required, &batch);
        let reader = P::In::<'b>::reader(batch.columns);
        let mut cx = context(&mut self.out, &mut self.call, &batch);
        if self.operator.on_columns(&Columns::new(batch.columns, batch.rows), &mut cx) {
            return cx.finish(batch.rows, batch.rows);
        }
        let mut consumed = batch.rows;
        for row in 0..batch.rows {
            cx.at(row);
            if Self::HAS_TIMERS {
                cx.call.timers.start_row();
            }
            let before = cx.out.len();
            let outcome = match null(&nulls, row) {
                None => self.operator.on_event(P::In::<'b>::read(&reader, row), &mut cx),
                Some(name) => Err(format!("column `{name}` is null").into()),
            };
            if cx.settle(outcome, before) {
                consumed = row + 1;
                break;
            }
        }
        cx.finish(consumed, batch.rows)
    }

    pub(crate) fn on_timers(&mut self, due: Due) -> Step {
        self.start(due.rows, due.groups, due.states);
        let (step, context) = self.timers(
            Rowwise {
                rows: due.rows as usize,
                columns: &[],
                times: &due.times,
                row_groups: &due.row_groups,
                keys: &due.keys,
                watermark: due.watermark,
                processing_time: due.processing_time,
            },
            &due.timers,
        );
        (self.out, self.call) = context;
        step
    }

    fn timers(&mut self, batch: Rowwise<'_>, timers: &[u32]) -> (Step, Parts<P>) {
        let mut cx = context(&mut self.out, &mut self.call, &batch);
        cx.call.timers_fire = true;
        let mut consumed = batch.rows;
        for (row, &timer) in timers.iter().enumerate() {
            cx.row = row as u32;
            cx.group = batch.row_groups[row];
            // An earlier timer of the call has cancelled this one or put it off.
            if cx.call.timers.touched(cx.group, timer) {
                continue;
            }
            cx.call.timers.start_row();
            let before = cx.out.len();
            let outcome = self.operator.on_timer(P::Timer::from_number(timer), &mut cx);
            if cx.settle(outcome, before) {
                consumed = row + 1;
                break;
            }
        }
        cx.call.timers_fire = false;
        cx.finish(consumed, batch.rows)
    }

    fn start(&mut self, rows: u32, groups: u32, states: Vec<GroupState>) {
        let call = self.call.as_mut().expect("no call is running");
        let groups = groups as usize;
        self.out.start(rows as usize);
        call.timers.start(P::Timer::TIMERS.len(), groups);
        call.side_bytes = 0;
        call.side_rows = false;
        assert_eq!(states.len(), call.cells.len(), "the host passes each value-like state that the descriptor has");
        for (cells, state) in call.cells.iter_mut().zip(states) {
            assert_eq!(state.state, cells.state(), "the host passes states in the descriptor's order");
            cells.start(groups, state.values);
        }
        call.entries.iter_mut().for_each(|entries| entries.start(groups));
    }

    /// Starts a call without keys; returns what waits for calls that have some.
    pub(super) fn start_broadcast(&mut self, rows: u32) -> Vec<Cells> {
        let call = self.call.as_mut().expect("no call is running");
        let cells = std::mem::take(&mut call.cells);
        self.start(rows, 0, Vec::new());
        cells
    }

    pub(super) fn end_broadcast(&mut self, parts: Parts<P>, cells: Vec<Cells>) {
        (self.out, self.call) = parts;
        self.call.as_mut().expect("no call is running").cells = cells;
    }
}

/// The context of a call over these rows.
pub(super) fn context<'b, P: Process>(
    out: &mut Rows<MainBuilder<P>>,
    call: &mut Option<Call>,
    batch: &Rowwise<'b>,
) -> Context<'b, P> {
    let call = call.take().expect("no call is running");
    Context::new(
        std::mem::take(out),
        call,
        batch.keys,
        batch.times,
        batch.row_groups,
        batch.watermark,
        batch.processing_time,
    )
}

/// The required columns that do have nulls in this batch: their names, and which rows have a value.
pub(super) fn nulls<'n>(required: &'n [(usize, String)], batch: &Rowwise<'n>) -> Vec<(&'n str, Option<&'n [u8]>)> {
    let mut nulls = Vec::new();
    for (at, name) in required {
        let column = &batch.columns[*at];
        match &column.validity {
            _ if matches!(column.values, Values::Nulls) => nulls.push((&**name, None)),
            Some(validity) if bits::any_unset(validity, batch.rows) => nulls.push((name, Some(&**validity))),
            _ => {}
        }
    }
    nulls
}

/// The main output and the rest of what a call gathers.
pub(super) type Parts<P> = (Rows<MainBuilder<P>>, Option<Call>);

/// The parts of a batch that stay as they are while its rows are dealt with.
pub(super) struct Rowwise<'b> {
    pub(super) rows: usize,
    pub(super) columns: &'b [Column],
    pub(super) times: &'b [i64],
    pub(super) row_groups: &'b [u32],
    pub(super) keys: &'b [Column],
    pub(super) watermark: i64,
    pub(super) processing_time: i64,
}

/// The column in which a row lacks a value that it must have.
#[inline(always)]
pub(super) fn null<'n>(nulls: &[(&'n str, Option<&[u8]>)], row: usize) -> Option<&'n str> {
    // Most batches have none, and a loop costs something even when it is not run: the sandbox counts its rounds.
    if nulls.is_empty() {
        return None;
    }
    let missing = |(_, valid): &&(&str, Option<&[u8]>)| valid.is_none_or(|valid| !bits::get(valid, row));
    nulls.iter().find(missing).map(|(name, _)| *name)
}

impl<P: Process> Context<'_, P> {
    /// After each row: undoes it when it was refused. True when the output is full.
    #[inline(always)]
    pub(super) fn settle(&mut self, outcome: Outcome, before: usize) -> bool {
        if let Err(error) = outcome {
            self.reject(&error, before);
        }
        self.out.bytes() + self.call.side_bytes > OUTPUT_LIMIT
    }

    #[cold]
    fn reject(&mut self, error: &Error, before: usize) {
        self.out.truncate(before);
        if self.call.side_rows {
            self.call.sides.iter_mut().for_each(|side| side.forget(self.row));
            self.call.side_bytes = self.call.sides.iter().map(|side| side.size()).sum();
        }
        for cells in &mut self.call.cells {
            cells.undo_row(self.group, self.row);
        }
        self.call.entries.iter_mut().for_each(|entries| entries.undo_row(self.row));
        self.call.timers.undo_row();
        self.call.rejected.push(Rejection { row: self.row, reason: error.to_string() });
    }

    /// The result of the call, and what the next one starts with.
    pub(super) fn finish(mut self, consumed: usize, given: usize) -> (Step, Parts<P>) {
        let mut outputs = Vec::with_capacity(1);
        self.out.finish(0, given, &mut outputs);
        for (port, side) in (1..).zip(&mut self.call.sides) {
            side.finish(port, given, &mut outputs);
        }
        let states = self.call.cells.iter_mut().filter_map(Cells::finish).collect();
        self.call.entries.iter_mut().for_each(|entries| entries.finish());
        let (timers_set, timers_cancelled) = self.call.timers.finish();
        self.call.telemetry.deliver();
        let rejected = std::mem::take(&mut self.call.rejected);
        let step = Step { consumed: consumed as u32, outputs, states, timers_set, timers_cancelled, rejected };
        (step, (self.out, Some(self.call)))
    }
}

/// Refuses names that are given twice.
fn once<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> Result<(), Error> {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Err(format!("{what} `{name}` is declared twice").into());
        }
        seen.push(name);
    }
    Ok(())
}
