//! Drives operators in native tests: no Wasm, no host, no broker, but the very columns and the very code that a call
//! of the component goes through.
//!
//! ```
//! use wasmill_sdk::prelude::*;
//! use wasmill_sdk::testing::Drive;
//!
//! #[derive(Record)]
//! struct Reading<'a> { sensor: &'a str, celsius: f64 }
//!
//! /// Lets through what is warmer than 30 degrees.
//! struct Warm;
//! impl Process for Warm {
//!     type Key<'a> = ();
//!     type In<'a> = Reading<'a>;
//!     type Out<'a> = Keep;
//!     type Timer = NoTimers;
//!     fn open(_: &mut Open<'_>) -> Result<Self, Error> { Ok(Self) }
//!     fn on_event(&self, reading: Reading<'_>, cx: &mut Context<'_, Self>) -> Outcome {
//!         if reading.celsius.is_nan() { return Err("no temperature".into()) }
//!         if reading.celsius > 30.0 { cx.emit(Keep) }
//!         Ok(())
//!     }
//! }
//!
//! let mut warm = Drive::<Warm>::new();
//! warm.event(Timestamp(1), Reading { sensor: "a", celsius: 20.0 })
//!     .event(Timestamp(2), Reading { sensor: "b", celsius: 40.0 })
//!     .event(Timestamp(3), Reading { sensor: "c", celsius: f64::NAN });
//! assert_eq!(warm.kept()[0].sensor, "b");
//! assert_eq!(warm.rejected(), ["no temperature"]);
//! ```

mod aggregate;
mod keys;
mod places;
mod repeat;
pub(crate) mod state;

pub use aggregate::DriveAggregate;
pub use repeat::Repeat;

use crate::bindings::wasmill::operator::calls::{Batch, Due, Output, Step};
use crate::bindings::wasmill::operator::columns::Column;
use crate::bindings::wasmill::operator::descriptors::{self, Descriptor};
use crate::process::{self, Broadcast, Input, Instance, Key, Process};
use crate::record::{Builder, Record, RecordShape};
use crate::{Error, Level, Schema, Timestamp};
use keys::{Clocks, Keys};

/// Drives a [`Process`] operator.
pub struct Drive<P: Process> {
    instance: Instance<P>,
    descriptor: Descriptor,
    input: Schema,
    /// where the key's columns are among the input's
    key: Vec<usize>,
    keys: Keys<P>,
    watermark: i64,
    processing_time: i64,
    calls: Vec<Call>,
    rejected: Vec<String>,
    state_reads: usize,
}

/// A call that was made: what the operator read, and what it answered.
struct Call {
    /// of the input rows: not those of the broadcast input, nor timers
    is_of_rows: bool,
    columns: Vec<Column>,
    times: Vec<i64>,
    step: Step,
}

impl<P: Process> Default for Drive<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Process> Drive<P> {
    /// An operator that is given just the columns that it reads, and no configuration.
    ///
    /// This and the other constructors panic when the operator refuses to open.
    pub fn new() -> Self {
        Self::with_config("")
    }

    /// The same with a configuration in JSON.
    pub fn with_config(config: &str) -> Self {
        Self::try_new(config).unwrap_or_else(|error| panic!("the operator does not open: {error}"))
    }

    /// The same, or why the operator refuses to open.
    pub fn try_new(config: &str) -> Result<Self, Error> {
        let mut input = Schema::default();
        P::In::need(&mut input);
        Self::open(config, input)
    }

    /// An operator that is given the columns of a record: for one that reads [`Row`](crate::Row)s, and for columns
    /// that it is keyed by but does not read.
    pub fn over<R: RecordShape>(config: &str) -> Self {
        Self::open(config, Schema::of::<R>()).unwrap_or_else(|error| panic!("the operator does not open: {error}"))
    }

    /// An operator that is given columns of this schema, or why it refuses to open.
    pub fn open(config: &str, input: Schema) -> Result<Self, Error> {
        let (instance, descriptor) = Instance::open(config, std::slice::from_ref(&input))?;
        Self::opened(instance, descriptor, input)
    }

    fn opened(instance: Instance<P>, descriptor: Descriptor, input: Schema) -> Result<Self, Error> {
        let mut need = Schema::default();
        P::Key::describe(&mut need);
        let mut key = Vec::new();
        for need in need.columns() {
            key.push(input.find(need)?.number as usize);
        }
        Ok(Self {
            keys: Keys::new(descriptor.states.clone(), instance.state_widths(), descriptor.timers.len()),
            instance,
            descriptor,
            input,
            key,
            watermark: i64::MIN,
            processing_time: 0,
            calls: Vec::new(),
            rejected: Vec::new(),
            state_reads: 0,
        })
    }

    /// Gives the operator one row in a batch of its own.
    pub fn event<'r, R: Record<'r>>(&mut self, time: Timestamp, row: R) -> &mut Self {
        self.batch([(time, row)])
    }

    /// Gives the operator rows in one batch, and the rest again when it stops at its output limit.
    pub fn batch<'r, R: Record<'r>>(&mut self, rows: impl IntoIterator<Item = (Timestamp, R)>) -> &mut Self {
        let mut schema = Schema::default();
        R::describe_fields(&mut schema);
        assert_eq!(
            schema.to_wire(),
            self.input.to_wire(),
            "the events are of the record that the operator is driven over"
        );
        let rows: Vec<_> = rows.into_iter().collect();
        let mut from = 0;
        while from < rows.len() {
            from += self.call(&rows[from..]);
        }
        self
    }

    /// How many rows it dealt with.
    fn call<'r, R: Record<'r>>(&mut self, rows: &[(Timestamp, R)]) -> usize {
        let columns = columns(rows.iter().map(|(_, row)| row));
        let members: Vec<usize> = if P::Key::KEYED {
            let key_of = |(_, row): &(Timestamp, R)| self.pick(&self::columns([row]), &self.key);
            let keys: Vec<_> = rows.iter().map(key_of).collect();
            keys.into_iter().map(|key| self.keys.number(key)).collect()
        } else if self.descriptor.states.is_empty() {
            Vec::new()
        } else {
            vec![self.keys.number(Vec::new()); rows.len()]
        };
        let reads: Vec<_> = self.descriptor.reads[0].iter().map(|column| *column as usize).collect();
        let columns = self.pick(&columns, &reads);
        let times: Vec<_> = rows.iter().map(|(time, _)| time.0).collect();
        let groups = self.keys.group(&members);
        let processing_time = self.processing_time;
        let clocks = Clocks { row_times: &times, row_groups: &groups.row_groups, processing_time };
        let current = self.keys.lend(&groups.members, &clocks);
        let batch = Batch {
            input: 0,
            rows: rows.len() as u32,
            times: if self.descriptor.reads_times { times.clone() } else { Vec::new() },
            columns: columns.clone(),
            groups: groups.members.len() as u32,
            row_groups: groups.row_groups,
            keys: groups.keys,
            states: groups.states,
            watermark: self.watermark,
            processing_time,
        };
        let (current, step) = state::during(current, || self.instance.on_batch(batch));
        let consumed = step.consumed as usize;
        assert!(consumed > 0, "a call deals with at least one row");
        self.finish(Call { is_of_rows: true, columns, times, step }, &groups.members, current);
        consumed
    }

    /// Moves the watermark, and fires the timers that are due.
    pub fn watermark(&mut self, time: Timestamp) -> &mut Self {
        assert!(time.0 >= self.watermark, "a watermark never goes back");
        self.watermark = time.0;
        self.fire(descriptors::Clock::EventTime, time.0);
        self.keys.expire(descriptors::Clock::EventTime, time.0);
        self
    }

    /// Moves the machine's clock, and fires the timers that are due.
    pub fn processing_time(&mut self, time: Timestamp) -> &mut Self {
        self.processing_time = time.0;
        self.keys.expire(descriptors::Clock::ProcessingTime, time.0);
        self.fire(descriptors::Clock::ProcessingTime, time.0);
        self
    }

    /// Rounds of due timers, until none is left.
    fn fire(&mut self, clock: descriptors::Clock, now: i64) {
        for _ in 0..1000 {
            let due = self.keys.due(&self.descriptor, clock, now);
            if due.is_empty() {
                return;
            }
            let mut from = 0;
            while from < due.len() {
                let due = &due[from..];
                let members: Vec<_> = due.iter().map(|timer| timer.key).collect();
                if clock == descriptors::Clock::EventTime {
                    // To a timer it is the time for which it was set.
                    let first = |timer: &&keys::DueTimer| {
                        !due.iter().any(|other| other.key == timer.key && other.time < timer.time)
                    };
                    due.iter().filter(first).for_each(|timer| self.keys.expire_key(timer.key, clock, timer.time));
                }
                let groups = self.keys.group(&members);
                let times: Vec<_> = due.iter().map(|timer| timer.time).collect();
                let processing_time = self.processing_time;
                let clocks = Clocks { row_times: &times, row_groups: &groups.row_groups, processing_time };
                let current = self.keys.lend(&groups.members, &clocks);
                let due = Due {
                    rows: due.len() as u32,
                    timers: due.iter().map(|timer| timer.timer).collect(),
                    times: times.clone(),
                    groups: groups.members.len() as u32,
                    row_groups: groups.row_groups,
                    keys: groups.keys,
                    states: groups.states,
                    watermark: self.watermark,
                    processing_time,
                };
                let (current, step) = state::during(current, || self.instance.on_timers(due));
                from += step.consumed as usize;
                let call = Call { is_of_rows: false, columns: Vec::new(), times, step };
                self.finish(call, &groups.members, current);
            }
        }
        panic!("timers keep setting timers that are due at once");
    }

    fn finish(&mut self, call: Call, members: &[usize], current: state::Current) {
        self.state_reads += current.reads;
        self.keys.apply(&call.step, members, current);
        self.rejected.extend(call.step.rejected.iter().map(|rejection| rejection.reason.clone()));
        self.calls.push(call);
    }

    /// The given top-level columns of the input, each with what is nested in it.
    fn pick(&self, columns: &[Column], numbers: &[usize]) -> Vec<Column> {
        let widths: Vec<_> = self.input.columns().map(|column| column.width()).collect();
        let at = |number: usize| widths[..number].iter().sum::<usize>();
        numbers.iter().flat_map(|number| columns[at(*number)..][..widths[*number]].to_vec()).collect()
    }

    /// The batches that it was given, for giving them to it again and again: what a benchmark does.
    ///
    /// Panics when the operator is keyed.
    pub fn repeat(self) -> Repeat<P> {
        assert!(!P::Key::KEYED, "a call of a keyed operator changes what the next one is given");
        let batches = self.calls.into_iter().filter(|call| call.is_of_rows).map(|call| (call.columns, call.times));
        Repeat::new(self.instance, self.descriptor.reads_times, batches)
    }

    /// All that the main output has had.
    pub fn outputs(&self) -> Vec<P::Out<'_>> {
        let rows = self.port(0).flat_map(|(_, output)| {
            let reader = <P::Out<'_> as process::Output>::reader(&output.columns);
            (0..output.rows as usize).map(move |row| <P::Out<'_> as process::Output>::read(&reader, row))
        });
        rows.collect()
    }

    /// The input rows that the rows of the main output came from: what a filter let through.
    pub fn kept(&self) -> Vec<P::In<'_>> {
        let rows = self.port(0).filter(|(call, _)| call.is_of_rows).flat_map(|(call, output)| {
            let reader = P::In::reader(&call.columns);
            origins(output).map(move |row| P::In::read(&reader, row))
        });
        rows.collect()
    }

    /// The event times of the rows of the main output.
    pub fn output_times(&self) -> Vec<Timestamp> {
        let times = self.port(0).flat_map(|(call, output)| -> Vec<_> {
            match &output.times {
                Some(times) => times.iter().map(|time| Timestamp(*time)).collect(),
                None => origins(output).map(|row| Timestamp(call.times[row])).collect(),
            }
        });
        times.collect()
    }

    /// All that a side output has had.
    pub fn side_output<T: RecordShape>(&self, name: &str) -> Vec<T::Of<'_>> {
        let port = self.descriptor.outputs.iter().position(|port| port.name == name);
        let port = port.unwrap_or_else(|| panic!("no side output `{name}`"));
        let rows = self.port(port as u32).flat_map(|(_, output)| {
            let reader = <T::Of<'_> as process::Output>::reader(&output.columns);
            (0..output.rows as usize).map(move |row| <T::Of<'_> as process::Output>::read(&reader, row))
        });
        rows.collect()
    }

    fn port(&self, port: u32) -> impl Iterator<Item = (&Call, &Output)> {
        self.calls.iter().flat_map(move |call| {
            call.step.outputs.iter().filter(move |output| output.port == port).map(move |output| (call, output))
        })
    }

    /// How many calls of the component it has taken.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// How often its calls have asked the host for entries of lists and maps.
    pub fn state_reads(&self) -> usize {
        self.state_reads
    }

    /// Why rows and timers were refused.
    pub fn rejected(&self) -> &[String] {
        &self.rejected
    }

    /// How many keys have a state or a timer: what the operator does not forget.
    pub fn live_keys(&self) -> usize {
        self.keys.live()
    }

    /// The log so far.
    pub fn log(&mut self) -> &[(Level, String)] {
        &self.instance.telemetry().lines
    }

    /// The sum of a counter.
    pub fn counter(&mut self, name: &str) -> u64 {
        let counter = self.descriptor.counters.iter().position(|counter| counter == name);
        self.instance.telemetry().counters[counter.unwrap_or_else(|| panic!("no counter `{name}`"))]
    }

    /// The values of a histogram.
    pub fn histogram(&mut self, name: &str) -> &[f64] {
        let histogram = self.descriptor.histograms.iter().position(|histogram| histogram == name);
        &self.instance.telemetry().histograms[histogram.unwrap_or_else(|| panic!("no histogram `{name}`"))]
    }
}

impl<P: Broadcast> Drive<P> {
    /// An operator with a broadcast input, given just the columns that it reads, with a configuration in JSON.
    pub fn with_broadcast(config: &str) -> Self {
        let mut input = Schema::default();
        P::In::need(&mut input);
        Self::open_with_broadcast(config, input).unwrap_or_else(|error| panic!("the operator does not open: {error}"))
    }

    /// The same with events of a record: see [`Drive::over`].
    pub fn over_with_broadcast<R: RecordShape>(config: &str) -> Self {
        let opened = Self::open_with_broadcast(config, Schema::of::<R>());
        opened.unwrap_or_else(|error| panic!("the operator does not open: {error}"))
    }

    /// The same with events of this schema, or why it refuses to open.
    pub fn open_with_broadcast(config: &str, input: Schema) -> Result<Self, Error> {
        let mut broadcast = Schema::default();
        <P::BroadcastIn<'_> as Input>::need(&mut broadcast);
        let (instance, descriptor) = Instance::open_with_broadcast(config, &[input.clone(), broadcast])?;
        Self::opened(instance, descriptor, input)
    }

    /// Gives the operator one row of its broadcast input.
    pub fn broadcast(&mut self, time: Timestamp, row: P::BroadcastIn<'_>) -> &mut Self {
        self.broadcast_batch([(time, row)])
    }

    /// Gives the operator rows of its broadcast input in one batch, and the rest again when it stops at its output limit.
    pub fn broadcast_batch<'r>(
        &mut self,
        rows: impl IntoIterator<Item = (Timestamp, P::BroadcastIn<'r>)>,
    ) -> &mut Self {
        let rows: Vec<_> = rows.into_iter().collect();
        let mut from = 0;
        while from < rows.len() {
            from += self.call_broadcast(&rows[from..]);
        }
        self
    }

    /// How many rows it dealt with.
    fn call_broadcast(&mut self, rows: &[(Timestamp, P::BroadcastIn<'_>)]) -> usize {
        let columns = columns(rows.iter().map(|(_, row)| row));
        let times: Vec<_> = rows.iter().map(|(time, _)| time.0).collect();
        let processing_time = self.processing_time;
        let current = self.keys.lend(&[], &Clocks { row_times: &times, row_groups: &[], processing_time });
        let batch = Batch {
            input: 1,
            rows: rows.len() as u32,
            times: if self.descriptor.reads_times { times.clone() } else { Vec::new() },
            columns: columns.clone(),
            groups: 0,
            row_groups: Vec::new(),
            keys: Vec::new(),
            states: Vec::new(),
            watermark: self.watermark,
            processing_time,
        };
        let (current, step) = state::during(current, || self.instance.on_batch(batch));
        let consumed = step.consumed as usize;
        assert!(consumed > 0, "a call deals with at least one row");
        self.finish(Call { is_of_rows: false, columns, times, step }, &[], current);
        consumed
    }
}

/// The input rows of an output's rows.
fn origins(output: &Output) -> impl Iterator<Item = usize> {
    (0..output.rows as usize).map(|row| output.origins.as_ref().map_or(row, |origins| origins[row] as usize))
}

/// Rows as columns.
fn columns<'r, 'i, R: Record<'r> + 'i>(rows: impl IntoIterator<Item = &'i R>) -> Vec<Column> {
    let mut builder = R::Builder::default();
    builder.reserve(1);
    rows.into_iter().for_each(|row| row.write_record(&mut builder));
    let mut columns = Vec::new();
    builder.finish(&mut columns);
    columns
}
