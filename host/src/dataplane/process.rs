//! Runs a `process` operator: groups the rows of a batch by key, passes their state with the call, and applies what
//! comes back, all or nothing.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::ScalarBuffer;

use crate::model::batch::{Batch, Provenance, take_rows, taken_bytes};
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::schema::Schema;
use crate::model::time::Timestamp;
use crate::plan::descriptor::{Clock, Descriptor, OutputPort};
use crate::plan::graph::BROADCAST_INPUT;

use super::dead_letter::{DeadEvent, DeadLetter};
use super::function::{BatchCall, CallFailure, DueCall, Groups, PortRows, ProcessFunction, Step};
use super::keyed::{Due, Keyed};
use super::operator::{Collector, FIRED_ROWS_MAX, Operator};
use super::output_budget::OutputBudget;
use super::overlay::Overlay;
use super::snapshot::{MemberState, OperatorSnapshot};

/// Rounds of timers, beyond those that were set at first, that set timers which are due at once, before the operator is called broken.
const TIMER_ROUNDS_MAX: usize = 1_000;

/// Timers of one call.
const DUE_ROWS_MAX: usize = 4_096;

/// Batch and state of one call, in bytes, about: a batch whose keys have more state is cut.
const CALL_BYTES_MAX: usize = 1 << 20;

pub struct ProcessOperator {
    uid: Uid,
    function: Box<dyn ProcessFunction>,
    descriptor: Descriptor,
    ports: Vec<Port>,
    keyed: Option<Keyed>,
    output_bytes_max: usize,
    watermark: Timestamp,
    /// Of the event-time timers that the last watermark made due, as long as not all of them have fired.
    rounds_left: Option<usize>,
}

/// How the batches of an output port are put together.
struct Port {
    name: String,
    schema: Schema,
    /// The input's columns that it inherits, which come first.
    inherited: Vec<usize>,
    /// No columns of its own and the same columns as the input: what it emits are rows of the input.
    is_selection: bool,
}

impl ProcessOperator {
    pub fn new(
        uid: Uid,
        function: Box<dyn ProcessFunction>,
        descriptor: Descriptor,
        input: &Schema,
        keyed: Option<Keyed>,
        output_bytes_max: usize,
    ) -> Self {
        let port = |(index, port): (usize, &OutputPort)| {
            let inherited = match port.extends {
                false => Vec::new(),
                true => (0..input.fields().len())
                    .filter(|i| port.columns.field(&input.fields()[*i].name).is_none())
                    .collect(),
            };
            Port {
                name: port.name.clone(),
                schema: descriptor.output_schema(index, input),
                inherited,
                is_selection: port.extends && port.columns.fields().is_empty(),
            }
        };
        let ports = descriptor.outputs.iter().enumerate().map(port).collect();
        let watermark = Timestamp::MIN;
        Self { uid, function, ports, keyed, output_bytes_max, watermark, rounds_left: None, descriptor }
    }

    /// Calls for these rows of an input, until all are dealt with: a call may leave as many as it likes to the next one.
    fn process(&mut self, input: usize, batch: Batch, out: &mut Collector) -> Result<(), Fault> {
        let mut rest = batch;
        while !rest.is_empty() {
            let dealt_with = self.process_first(input, &rest, out)?;
            if dealt_with == rest.rows() {
                break;
            }
            rest = rest.slice(dealt_with, rest.rows() - dealt_with);
        }
        Ok(())
    }

    /// One call for these rows or, where it fails, calls for the first half of them, down to the row that makes it fail;
    /// returns how many are dealt with.
    fn process_first(&mut self, input: usize, batch: &Batch, out: &mut Collector) -> Result<usize, Fault> {
        if let Ok(consumed) = self.call(input, batch, out)? {
            return Ok(consumed);
        }
        if batch.rows() > 1 {
            let half = batch.rows() / 2;
            self.process(input, batch.slice(0, half), out)?;
            return Ok(half);
        }
        if let Err(failure) = self.call(input, batch, out)? {
            out.dead_letters.push(DeadLetter::of_row(&self.uid, batch, 0, failure.reason));
        }
        Ok(1)
    }

    /// One transaction: `Ok(Err(_))` had no effect.
    fn call(&mut self, input: usize, batch: &Batch, out: &mut Collector) -> Result<Result<usize, CallFailure>, Fault> {
        let is_broadcast = input == BROADCAST_INPUT;
        let columns: Vec<ArrayRef> =
            self.descriptor.reads[input].iter().map(|i| Arc::clone(batch.column(*i))).collect();
        if let Some(keyed) = self.keyed.as_mut().filter(|_| !is_broadcast) {
            keyed.group(batch, self.watermark, out.now)?;
            let oversized = keyed.oversized();
            if !oversized.is_empty() {
                let (rest, long) = batch.clone().without(oversized);
                let letters = long.into_iter().map(|(row, reason)| DeadLetter::of_row(&self.uid, &row, 0, reason));
                out.dead_letters.extend(letters);
                self.process(input, rest, out)?;
                return Ok(Ok(batch.rows()));
            }
            if keyed.state_bytes() > CALL_BYTES_MAX && batch.rows() > 1 {
                let half = batch.rows() / 2;
                return self.call(input, &batch.slice(0, half), out);
            }
        }
        let mut none = Overlay::default();
        let (groups, state) = match &mut self.keyed {
            None => (Groups::default(), &mut none),
            Some(keyed) if is_broadcast => (Groups::default(), keyed.start_broadcast()),
            Some(keyed) => keyed.call(),
        };
        let call = BatchCall {
            input,
            rows: batch.rows(),
            times: if self.descriptor.reads_times { batch.times() } else { &[] },
            columns: &columns,
            groups,
            watermark: self.watermark,
            processing_time: out.now,
        };
        let answer = self.function.on_batch(&call, state);
        if let Some(fault) = self.keyed.as_mut().and_then(Keyed::take_fault) {
            return Err(fault);
        }
        let mut step = match answer {
            Ok(step) => step,
            Err(failure) => return Ok(Err(failure)),
        };
        let outputs = std::mem::take(&mut step.outputs);
        let origin = if is_broadcast { Origin::Broadcast(batch) } else { Origin::Input(batch) };
        let outputs = match self.assemble(outputs, origin) {
            Ok(outputs) => outputs,
            Err(reason) => return Ok(Err(self.refuse(reason))),
        };
        let applied = match &mut self.keyed {
            None => Ok(()),
            Some(keyed) if is_broadcast => keyed.apply_broadcast(&step)?,
            Some(keyed) => keyed.apply(&mut step)?,
        };
        if let Err(failure) = applied {
            return Ok(Err(self.refuse(failure.reason)));
        }
        let consumed = step.consumed;
        out.counts.append(&mut step.counts);
        out.observations.append(&mut step.observations);
        for (row, reason) in step.rejected.drain(..) {
            out.dead_letters.push(DeadLetter::of_row(&self.uid, batch, row, reason));
        }
        outputs.into_iter().for_each(|(port, rows)| out.emit(port, rows));
        Ok(Ok(consumed))
    }

    /// What a call emits, by port. The error is the author's to mend: then the call has no effect.
    fn assemble(&self, outputs: Vec<PortRows>, origin: Origin<'_>) -> Result<Vec<(usize, Batch)>, String> {
        let mut budget = OutputBudget::new(self.output_bytes_max);
        let assembled = outputs.into_iter().map(|rows| {
            let (number, port) = (rows.port, &self.ports[rows.port]);
            let batch = port.assemble(rows, origin, &mut budget);
            Ok((number, batch.map_err(|reason| format!("output port `{}`: {reason}", port.name))?))
        });
        assembled.collect()
    }

    /// Lets a call fail whose answer cannot take effect.
    fn refuse(&mut self, reason: String) -> CallFailure {
        self.function.forget();
        CallFailure::new(reason)
    }

    /// Fires what is due on `clock`, round by round, until there are `FIRED_ROWS_MAX` rows of output, about: a timer that
    /// sets one due at once fires it in the next round. `rounds_left` is of the call before, if that left some for this
    /// one; returns the same for the next one, `None` = nothing is due any more.
    fn fire(
        &mut self,
        clock: Clock,
        until: Timestamp,
        rounds_left: Option<usize>,
        out: &mut Collector,
    ) -> Result<Option<usize>, Fault> {
        let Some(keyed) = &self.keyed else { return Ok(None) };
        let mut rounds_left = rounds_left.unwrap_or_else(|| keyed.timers(clock) / DUE_ROWS_MAX + TIMER_ROUNDS_MAX);
        while let Some(keyed) = &mut self.keyed
            && out.rows() < FIRED_ROWS_MAX
        {
            let due = keyed.take_due(clock, until, DUE_ROWS_MAX)?;
            if due.is_empty() {
                return Ok(None);
            }
            if rounds_left == 0 {
                return Err(Fault::plugin(format!(
                    "timers set timers that were due at once, {TIMER_ROUNDS_MAX} rounds in a row; the last at {until}"
                )));
            }
            rounds_left -= 1;
            let (mut start, total) = (0, due.len());
            while start < total {
                start += self.fire_rows(&due.slice(start, total - start), out)?;
            }
        }
        Ok(Some(rounds_left))
    }

    /// One call for these timers or, where it fails, for half of them, down to the one that makes it fail; returns how
    /// many are dealt with.
    fn fire_rows(&mut self, due: &Due, out: &mut Collector) -> Result<usize, Fault> {
        let mut rows = due.len();
        loop {
            let some = due.slice(0, rows);
            match self.call_timers(&some, out)? {
                Ok(consumed) => return Ok(consumed),
                Err(_) if rows > 1 => rows /= 2,
                Err(_) => {
                    if let Err(failure) = self.call_timers(&some, out)? {
                        let letter = self.dead_timer(&some, failure.reason)?;
                        out.dead_letters.push(letter);
                    }
                    return Ok(1);
                }
            }
        }
    }

    fn call_timers(&mut self, due: &Due, out: &mut Collector) -> Result<Result<usize, CallFailure>, Fault> {
        let keyed = self.keyed.as_mut().expect("only keyed operators have timers");
        keyed.group_due(due, self.watermark, out.now)?;
        let (groups, state) = keyed.call();
        let call = DueCall {
            timers: &due.timers,
            times: &due.times,
            groups,
            watermark: self.watermark,
            processing_time: out.now,
        };
        let answer = self.function.on_timers(&call, state);
        if let Some(fault) = keyed.take_fault() {
            return Err(fault);
        }
        let mut step: Step = match answer {
            Ok(step) => step,
            Err(failure) => return Ok(Err(failure)),
        };
        let outputs = match self.assemble(std::mem::take(&mut step.outputs), Origin::Timers(&due.times)) {
            Ok(outputs) => outputs,
            Err(reason) => return Ok(Err(self.refuse(reason))),
        };
        let keyed = self.keyed.as_mut().expect("only keyed operators have timers");
        if let Err(failure) = keyed.apply(&mut step)? {
            return Ok(Err(self.refuse(failure.reason)));
        }
        out.counts.append(&mut step.counts);
        out.observations.append(&mut step.observations);
        for (row, reason) in step.rejected.drain(..) {
            let letter = self.dead_timer(&due.slice(row as usize, 1), reason)?;
            out.dead_letters.push(letter);
        }
        outputs.into_iter().for_each(|(port, rows)| out.emit(port, rows));
        Ok(Ok(step.consumed))
    }

    /// Frees some of what has expired.
    fn sweep(&mut self, clock: Clock, now: Timestamp) -> Result<(), Fault> {
        self.keyed.as_mut().map_or(Ok(()), |keyed| keyed.sweep(clock, now))
    }

    /// A timer that could not be dealt with: its key, and its time.
    fn dead_timer(&mut self, due: &Due, reason: String) -> Result<DeadLetter, Fault> {
        let keyed = self.keyed.as_mut().expect("only keyed operators have timers");
        let keys = keyed.key_batch(&due.slice(0, 1))?;
        let name = &self.descriptor.timers[due.timers[0] as usize].name;
        Ok(DeadLetter {
            node: self.uid.clone(),
            reason: format!("timer `{name}` at {}: {reason}", Timestamp(due.times[0])),
            split: None,
            offset: None,
            event: DeadEvent::Row(keys),
        })
    }
}

impl Operator for ProcessOperator {
    fn on_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<(), Fault> {
        self.process(0, batch.compact(), out)
    }

    fn on_broadcast(&mut self, batch: Batch, out: &mut Collector) -> Result<(), Fault> {
        self.process(BROADCAST_INPUT, batch.compact(), out)
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Collector) -> Result<(), Fault> {
        self.watermark = watermark;
        self.rounds_left = self.fire(Clock::EventTime, watermark, self.rounds_left, out)?;
        // A timer that is yet to fire may see what had not expired at its time.
        if self.has_more() { Ok(()) } else { self.sweep(Clock::EventTime, watermark) }
    }

    fn has_more(&self) -> bool {
        self.rounds_left.is_some()
    }

    fn on_time(&mut self, now: Timestamp, out: &mut Collector) -> Result<(), Fault> {
        // What is left fires at the next call, which `wake_at` asks for. Input comes between, and its timers with it: so
        // each call has rounds of its own.
        let left = self.fire(Clock::ProcessingTime, now, None, out)?;
        if left.is_some() { Ok(()) } else { self.sweep(Clock::ProcessingTime, now) }
    }

    fn restore(&mut self, state: &mut MemberState) -> Result<(), Fault> {
        self.watermark = state.progress.input;
        self.keyed.as_mut().map_or(Ok(()), |keyed| keyed.restore(state))
    }

    fn snapshot(&mut self, barrier: &Barrier) -> Result<OperatorSnapshot, Fault> {
        self.keyed.as_mut().map_or(Ok(OperatorSnapshot::default()), |keyed| keyed.snapshot(barrier))
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.keyed.as_ref().and_then(Keyed::wake_at)
    }
}

/// What the rows of an output come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Input(&'a Batch),
    Broadcast(&'a Batch),
    /// Timers that were due, with their times.
    Timers(&'a [i64]),
}

impl Port {
    fn inherits(&self) -> bool {
        !self.inherited.is_empty() || self.is_selection
    }

    fn assemble(&self, rows: PortRows, origin: Origin<'_>, budget: &mut OutputBudget) -> Result<Batch, String> {
        match origin {
            Origin::Input(batch) => self.assemble_from_rows(batch, rows, budget),
            Origin::Broadcast(_) if self.inherits() => Err(
                "a row of the broadcast input cannot emit to a port that inherits columns: those are of the other input"
                    .to_owned(),
            ),
            Origin::Broadcast(batch) => self.assemble_from_rows(batch, rows, budget),
            Origin::Timers(_) if self.inherits() => {
                Err("a timer cannot emit to a port that inherits columns: there is no input row".to_owned())
            }
            Origin::Timers(times) => self.assemble_from_timers(times, rows),
        }
    }

    fn assemble_from_rows(&self, input: &Batch, rows: PortRows, budget: &mut OutputBudget) -> Result<Batch, String> {
        if self.is_selection && rows.times.is_none() {
            match &rows.origins {
                None => return Ok(input.slice(0, rows.rows)),
                Some(origins) if origins.is_sorted_by(|a, b| a < b) => {
                    return Ok(input.select(rows.origins.unwrap_or_default()));
                }
                Some(_) => {}
            }
        }
        if let Some(origins) = &rows.origins {
            self.charge(input, origins, budget)?;
        }
        let inherited = self.inherited.iter().map(|i| Arc::clone(input.column(*i)));
        let mut columns: Vec<ArrayRef> = match &rows.origins {
            None => inherited.map(|column| column.slice(0, rows.rows)).collect(),
            Some(origins) => {
                let origins: ScalarBuffer<u32> = origins.clone().into();
                take_rows(&inherited.collect::<Vec<_>>(), &origins)
            }
        };
        columns.extend(rows.columns);
        let records = self.records(columns, rows.rows)?;
        let whole = rows.rows == input.rows();
        match rows.origins {
            None if !whole => Ok(input.slice(0, rows.rows).derive(records, rows.times, None)),
            origins => Ok(input.derive(records, rows.times, origins.as_deref())),
        }
    }

    /// For copies of inherited columns: a few bytes of an answer name rows of any size.
    fn charge(&self, input: &Batch, origins: &[u32], budget: &mut OutputBudget) -> Result<(), String> {
        let mut inherited = self.inherited.iter();
        inherited.try_for_each(|i| budget.charge(taken_bytes(input.column(*i), origins.iter().copied())))
    }

    fn assemble_from_timers(&self, due_times: &[i64], rows: PortRows) -> Result<Batch, String> {
        let times = match (rows.times, rows.origins) {
            (Some(times), _) => times,
            (None, None) => due_times[..rows.rows].to_vec(),
            (None, Some(origins)) => origins.iter().map(|row| due_times[*row as usize]).collect(),
        };
        Ok(Batch::new(self.records(rows.columns, rows.rows)?, times.into(), Provenance::default()))
    }

    fn records(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, String> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(self.schema.arrow()), columns, &options)
            .map_err(|error| format!("the output does not fit the port's schema: {error}"))
    }
}

#[cfg(test)]
mod tests;
