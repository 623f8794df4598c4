//! Row by row operators, keyed or not.

mod broadcast;
mod context;
mod input;
mod instance;
mod open;
mod output;
mod ports;
mod state;
mod timers;

pub use broadcast::{Broadcast, BroadcastContext, ReadsBroadcast};
pub use context::{Context, Keyed};
pub use input::{Column, Columns, Input, Key, Row};
pub(crate) use instance::Instance;
pub use instance::OUTPUT_LIMIT;
pub(crate) use open::describe as describe_state;
pub use open::{Open, State};
pub use output::{Extend, Keep, Output};
pub use ports::Port;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use ports::same;
pub use state::{Aggregating, BroadcastMap, List, Map, MapKey, Reducing, Value};
pub use timers::{Clock, NoTimers, Timers};

use crate::error::{Error, Outcome};

/// An operator that sees one row at a time, and its key's state if it is keyed.
///
/// `&self` holds configuration and handles, made once in [`open`](Self::open). What changes from row to row belongs in
/// state, which the host keeps, checkpoints and moves between machines: a field that changes would be lost with the
/// instance.
///
/// ```
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Record)]
/// struct Payment<'a> { account: &'a str, cents: u64 }
/// #[derive(Record)]
/// struct Account<'a> { account: &'a str }
/// #[derive(Record, Debug, PartialEq)]
/// struct Alert<'a> { account: &'a str, cents: u64 }
/// #[derive(Timers)]
/// enum Wake { Quiet }
///
/// /// Alerts once an account has spent more than the limit, and forgets it after 30 quiet minutes.
/// struct SpendGuard { spent: Value<u64>, limit: u64 }
/// #[derive(Deserialize)]
/// struct Config { limit: u64 }
///
/// impl Process for SpendGuard {
///     type Key<'a> = Account<'a>;
///     type In<'a> = Payment<'a>;
///     type Out<'a> = Alert<'a>;
///     type Timer = Wake;
///
///     fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
///         Ok(Self { spent: cx.value("spent"), limit: cx.config::<Config>()?.limit })
///     }
///
///     fn on_event(&self, payment: Payment<'_>, cx: &mut Keyed<'_, Self>) -> Outcome {
///         let spent = self.spent.update(cx, |total| *total += payment.cents);
///         if spent > self.limit {
///             cx.emit(Alert { account: payment.account, cents: spent });
///         }
///         cx.wake_at(cx.time() + minutes(30), Wake::Quiet);
///         Ok(())
///     }
///
///     fn on_timer(&self, timer: Wake, cx: &mut Keyed<'_, Self>) -> Outcome {
///         match timer {
///             Wake::Quiet => self.spent.clear(cx),
///         }
///         Ok(())
///     }
/// }
/// export!(process: SpendGuard);
///
/// use wasmill_sdk::testing::Drive;
/// let mut guard = Drive::<SpendGuard>::with_config(r#"{ "limit": 100000 }"#);
/// guard.event(Timestamp(0), Payment { account: "a1", cents: 90_000 });
/// guard.event(Timestamp(1), Payment { account: "a1", cents: 20_000 });
/// assert_eq!(guard.outputs(), [Alert { account: "a1", cents: 110_000 }]);
/// guard.watermark(Timestamp(0) + minutes(31));
/// assert_eq!(guard.live_keys(), 0);
/// ```
pub trait Process: Sized + 'static {
    /// One line for people, which `wasmill inspect` shows.
    const SUMMARY: &'static str = "";
    /// Whether [`Context::time`] is asked for, or some rows are emitted with a time of their own and others without.
    /// `false` spares passing the event times; timers have theirs anyway.
    const READS_TIMES: bool = true;

    /// The columns that the job must key by, in this order. `()`: not keyed, so no timers, and no state but that of each
    /// slot ([`Open::split_list`], [`Open::union_list`], [`Open::broadcast_map`]).
    type Key<'a>: Key<'a>;
    /// The columns that it reads: a record, [`Row`] to choose them when it is opened, or `()` for none of them.
    type In<'a>: Input<'a>;
    /// What it emits: a record, or [`Extend`] or [`Keep`] to let the rest of the input row pass through.
    type Out<'a>: Output<'a>;
    /// Its timers: an enum or, for one, a unit struct with `#[derive(Timers)]`, or [`NoTimers`].
    type Timer: Timers;

    /// Reads the configuration, and declares states, side outputs and metrics. Must do the same each time for the
    /// same configuration: every instance opens anew.
    fn open(cx: &mut Open<'_>) -> Result<Self, Error>;

    /// Deals with one row.
    fn on_event(&self, event: Self::In<'_>, cx: &mut Context<'_, Self>) -> Outcome;

    /// Deals with a whole batch by its columns, where that is faster than row by row; `false` leaves it to
    /// [`on_event`](Self::on_event). It emits for a row after [`cx.at(row)`](Context::at), in ascending order, and
    /// cannot refuse rows. Columns are asked for in `open`, with [`Open::column`].
    ///
    /// ```
    /// # use wasmill_sdk::prelude::*;
    /// # use wasmill_sdk::Columns;
    /// struct Positive { value: Column<i64> }
    /// impl Process for Positive {
    /// #   type Key<'a> = ();
    ///     type In<'a> = Row<'a>;
    ///     type Out<'a> = Keep;
    /// #   type Timer = NoTimers;
    ///     fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
    ///         Ok(Self { value: cx.column("value")? })
    ///     }
    ///     fn on_columns(&self, columns: &Columns<'_>, cx: &mut Context<'_, Self>) -> bool {
    ///         for (row, value) in columns.slice(&self.value).iter().enumerate() {
    ///             if *value > 0 { cx.at(row).emit(Keep) }
    ///         }
    ///         true
    ///     }
    ///     # fn on_event(&self, _: Row<'_>, _: &mut Context<'_, Self>) -> Outcome { Ok(()) }
    /// }
    /// # use wasmill_sdk::testing::Drive;
    /// # #[derive(Record)] struct Number { value: i64 }
    /// # let mut positive = Drive::<Positive>::over::<Number>("");
    /// # positive.batch([3, -1, 4].map(|value| (Timestamp(0), Number { value })));
    /// # assert_eq!(positive.outputs().len(), 2);
    /// ```
    fn on_columns(&self, columns: &Columns<'_>, cx: &mut Context<'_, Self>) -> bool {
        let _ = (columns, cx);
        false
    }

    /// Deals with one timer that is due. Needed when there are timers.
    fn on_timer(&self, timer: Self::Timer, cx: &mut Context<'_, Self>) -> Outcome {
        const { assert!(Self::Timer::TIMERS.is_empty(), "an operator with timers needs `fn on_timer`") };
        let _ = (timer, cx);
        Ok(())
    }

    /// Makes today's value of a state (of an element of a list, of an entry's value in a map) from one that an older
    /// version wrote, when a job goes on from a checkpoint. Only asked for states whose `version` has grown: changes that
    /// names and defaults of fields cover need no version. [`decode_value`](crate::decode_value) reads the former value as
    /// a record of its time, [`encode_value`](crate::encode_value) writes today's. An `Err` or a panic stops the start.
    fn migrate(&self, state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        let _ = value;
        Err(format!("state `{state}` has no migration from version {from_version}").into())
    }
}
