//! Operators with a second input that every slot gets whole: rules, rates, lists of what is blocked.

use super::context::Context;
use super::instance::{Instance, Parts, Rowwise, context, null, nulls};
use super::open::Reads;
use super::state::BroadcastStates;
use super::{Input, Key, Output, Port, Process};
use crate::bindings::wasmill::operator::calls::{Batch, Step};
use crate::bindings::wasmill::operator::descriptors::Descriptor;
use crate::error::{Error, Outcome};
use crate::record::{Builder, Record, RecordShape};
use crate::schema::Schema;
use crate::telemetry::{Counter, Histogram, Level};
use crate::time::Timestamp;
use std::fmt::Display;

/// A [`Process`] operator with a second input, which the job names with `broadcast`: each of its rows goes to every slot,
/// so that each can keep what they say in broadcast state ([`Open::broadcast_map`](super::Open::broadcast_map)), and look
/// at it with every event. Exported as `export!(broadcast: Limits)`.
///
/// ```
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Record)]
/// struct Payment<'a> { shop: &'a str, cents: u64 }
/// #[derive(Record)]
/// struct Limit<'a> { shop: &'a str, cents: Option<u64> }
///
/// /// Lets payments through that are below the limit of their shop, as of the last row that named it.
/// struct Limits { limits: BroadcastMap<String, u64> }
///
/// impl Process for Limits {
///     type Key<'a> = ();
///     type In<'a> = Payment<'a>;
///     type Out<'a> = Keep;
///     type Timer = NoTimers;
///
///     fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
///         Ok(Self { limits: cx.broadcast_map("limits") })
///     }
///
///     fn on_event(&self, payment: Payment<'_>, cx: &mut Context<'_, Self>) -> Outcome {
///         let limit = self.limits.get(cx, &payment.shop.to_owned());
///         if limit.is_none_or(|limit| payment.cents < limit) {
///             cx.emit(Keep);
///         }
///         Ok(())
///     }
/// }
///
/// impl Broadcast for Limits {
///     type BroadcastIn<'a> = Limit<'a>;
///
///     fn on_broadcast(&self, limit: Limit<'_>, cx: &mut BroadcastContext<'_, Self>) -> Outcome {
///         match limit.cents {
///             Some(cents) => self.limits.insert(cx, limit.shop.to_owned(), cents),
///             None => self.limits.remove(cx, &limit.shop.to_owned()),
///         }
///         Ok(())
///     }
/// }
/// export!(broadcast: Limits);
///
/// use wasmill_sdk::testing::Drive;
/// let mut limits = Drive::<Limits>::with_broadcast("");
/// limits.broadcast(Timestamp(0), Limit { shop: "a", cents: Some(100) });
/// limits.event(Timestamp(1), Payment { shop: "a", cents: 99 });
/// limits.event(Timestamp(2), Payment { shop: "a", cents: 100 });
/// assert_eq!(limits.kept().len(), 1);
/// ```
pub trait Broadcast: Process {
    /// The columns that it reads of the broadcast input.
    type BroadcastIn<'a>: Record<'a>;

    /// Deals with one row of the broadcast input. Every slot does, so what it emits comes from each of them; and each must
    /// do the same to broadcast state, so it looks at nothing but the row and that state. Rows of different slots of the
    /// writer come in any order: state that depends on it may differ from slot to slot.
    fn on_broadcast(&self, row: Self::BroadcastIn<'_>, cx: &mut BroadcastContext<'_, Self>) -> Outcome;
}

/// What an operator can see and do while it deals with a row of the broadcast input: the only context in which broadcast
/// state can be written. There is no key, so no timer and no state of keys.
pub struct BroadcastContext<'b, P: Process>(Context<'b, P>);

impl<P: Process> BroadcastContext<'_, P> {
    /// The event time of this row.
    pub fn time(&self) -> Timestamp {
        self.0.time()
    }

    /// No event at or before this instant is still to come, on either input.
    pub fn watermark(&self) -> Timestamp {
        self.0.watermark()
    }

    /// The machine's clock, as of this call. Slots see different times: what is kept of them is not the same everywhere.
    pub fn processing_time(&self) -> Timestamp {
        self.0.processing_time()
    }

    /// Emits a row with the event time of the row at hand, from every slot.
    pub fn emit(&mut self, row: P::Out<'_>) {
        const { assert!(!<P::Out<'static> as Output<'static>>::EXTENDS, "a broadcast row has no columns of the first input") }
        self.0.emit(row);
    }

    /// Emits a row with an event time of its own, from every slot.
    pub fn emit_at(&mut self, time: Timestamp, row: P::Out<'_>) {
        const { assert!(!<P::Out<'static> as Output<'static>>::EXTENDS, "a broadcast row has no columns of the first input") }
        self.0.emit_at(time, row);
    }

    /// Emits a row to a side output, with the event time of the row at hand, from every slot.
    pub fn emit_to<T: RecordShape>(&mut self, port: &Port<T>, row: T::Of<'_>) {
        self.0.emit_to(port, row);
    }

    /// Emits a row to a side output, with an event time of its own, from every slot.
    pub fn emit_to_at<T: RecordShape>(&mut self, port: &Port<T>, time: Timestamp, row: T::Of<'_>) {
        self.0.emit_to_at(port, time, row);
    }

    /// Adds to a counter.
    pub fn count(&mut self, counter: Counter, by: u64) {
        self.0.count(counter, by);
    }

    /// Adds a value to a histogram.
    pub fn observe(&mut self, histogram: Histogram, value: f64) {
        self.0.observe(histogram, value);
    }

    /// Writes a line to the job's log.
    pub fn log(&mut self, level: Level, message: impl Display) {
        self.0.log(level, message);
    }

    pub(super) fn row(&self) -> u32 {
        self.0.row()
    }
}

/// A context in which broadcast state can be read: that of an event or a timer, and that of a broadcast row.
pub trait ReadsBroadcast {
    #[doc(hidden)]
    fn broadcast_states(&mut self) -> BroadcastStates<'_>;
}

impl<P: Process> ReadsBroadcast for Context<'_, P> {
    fn broadcast_states(&mut self) -> BroadcastStates<'_> {
        BroadcastStates::new(&mut self.call.entries)
    }
}

impl<P: Process> ReadsBroadcast for BroadcastContext<'_, P> {
    fn broadcast_states(&mut self) -> BroadcastStates<'_> {
        self.0.broadcast_states()
    }
}

/// How an instance deals with its broadcast input.
pub(super) struct BroadcastInput<P: Process> {
    pub(super) reads: Reads,
    pub(super) on_batch: fn(&mut Instance<P>, &Batch) -> Step,
}

impl<P: Broadcast> Instance<P> {
    /// Opens an operator with a broadcast input over inputs of these schemas.
    pub(crate) fn open_with_broadcast(config: &str, inputs: &[Schema]) -> Result<(Self, Descriptor), Error> {
        let [input, broadcast] = inputs else {
            return Err(format!("it has two inputs, and is given {}", inputs.len()).into());
        };
        let mut need = Schema::default();
        <P::BroadcastIn<'_> as Input>::need(&mut need);
        let mut reads = Reads::default();
        reads.add(broadcast, &need)?;
        Self::open_on(config, input, Some(BroadcastInput { reads, on_batch: Self::on_broadcast_batch }))
    }

    fn on_broadcast_batch(&mut self, batch: &Batch) -> Step {
        let keys = no_keys::<P>();
        // There are no keys that had values.
        let cells = self.start_broadcast(batch.rows);
        let rows = Rowwise {
            rows: batch.rows as usize,
            columns: &batch.columns,
            times: &batch.times,
            row_groups: &[],
            keys: &keys,
            watermark: batch.watermark,
            processing_time: batch.processing_time,
        };
        let (step, parts) = self.broadcast_rows(rows);
        self.end_broadcast(parts, cells);
        step
    }

    fn broadcast_rows<'b>(&mut self, batch: Rowwise<'b>) -> (Step, Parts<P>) {
        let required = self.broadcast.as_ref().map_or(&[][..], |input| &input.reads.required);
        let nulls = nulls(required, &batch);
        let reader = <P::BroadcastIn<'b> as Input<'b>>::reader(batch.columns);
        let mut cx = BroadcastContext(context(&mut self.out, &mut self.call, &batch));
        let mut consumed = batch.rows;
        for row in 0..batch.rows {
            cx.0.row = row as u32;
            let before = cx.0.out.len();
            let outcome = match null(&nulls, row) {
                None => self.operator.on_broadcast(<P::BroadcastIn<'b> as Input<'b>>::read(&reader, row), &mut cx),
                Some(name) => Err(format!("column `{name}` of the broadcast input is null").into()),
            };
            if cx.0.settle(outcome, before) {
                consumed = row + 1;
                break;
            }
        }
        cx.0.finish(consumed, batch.rows)
    }
}

/// The columns of no keys.
fn no_keys<P: Process>() -> Vec<crate::bindings::wasmill::operator::columns::Column> {
    let mut columns = Vec::new();
    <P::Key<'static> as Key<'static>>::Builder::default().finish(&mut columns);
    columns
}
