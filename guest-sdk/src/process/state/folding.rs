//! Values that things are added to, instead of being set.

use super::Value;
use crate::aggregate::Aggregate;
use crate::process::{Context, Process};
use crate::time::{Timestamp, Window};
use crate::value::Data;
use std::fmt;

/// A state that reduces all that is added to it to one value for each key, declared with
/// [`Open::reducing`](crate::Open::reducing). It travels with the call, as a [`Value`] does.
///
/// ```
/// # use wasmill_sdk::prelude::*;
/// # #[derive(Record)] struct Sensor { sensor: u32 }
/// # #[derive(Record)] struct Reading { celsius: i32 }
/// # #[derive(Record, Debug, PartialEq)] struct Hottest { celsius: i32 }
/// struct Hot { hottest: Reducing<i32> }
/// impl Process for Hot {
/// #   type Key<'a> = Sensor;
/// #   type In<'a> = Reading;
/// #   type Out<'a> = Hottest;
/// #   type Timer = NoTimers;
///     fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
///         Ok(Self { hottest: cx.reducing("hottest", |a, b| a.max(b)) })
///     }
///     fn on_event(&self, reading: Reading, cx: &mut Keyed<'_, Self>) -> Outcome {
///         let celsius = self.hottest.add(cx, reading.celsius);
///         cx.emit(Hottest { celsius });
///         Ok(())
///     }
/// }
/// # use wasmill_sdk::testing::Drive;
/// # #[derive(Record)] struct Input { sensor: u32, celsius: i32 }
/// # let mut hot = Drive::<Hot>::over::<Input>("");
/// # hot.batch([20, 30, 25].map(|celsius| (Timestamp(0), Input { sensor: 1, celsius })));
/// # assert_eq!(hot.outputs(), [20, 30, 30].map(|celsius| Hottest { celsius }));
/// ```
pub struct Reducing<T> {
    value: Value<T>,
    reduce: fn(T, T) -> T,
}

impl<T: Data> Reducing<T> {
    pub(in crate::process) fn new(value: Value<T>, reduce: fn(T, T) -> T) -> Self {
        Self { value, reduce }
    }

    /// Adds to the key's value, and returns it.
    #[inline]
    pub fn add<P: Process>(&self, cx: &mut Context<'_, P>, item: T) -> T
    where
        T: Clone,
    {
        let value = match self.value.get(cx) {
            Some(value) => (self.reduce)(value, item),
            None => item,
        };
        self.value.set(cx, value.clone());
        value
    }

    /// What was added, reduced; none when nothing was.
    #[inline]
    pub fn get<P: Process>(&self, cx: &Context<'_, P>) -> Option<T> {
        self.value.get(cx)
    }

    /// Forgets what was added.
    #[inline]
    pub fn clear<P: Process>(&self, cx: &mut Context<'_, P>) {
        self.value.clear(cx);
    }
}

impl<T> fmt::Debug for Reducing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reducing").finish_non_exhaustive()
    }
}

/// A state that keeps an [`Aggregate`]'s accumulator for each key, declared with
/// [`Open::aggregating`](crate::Open::aggregating). It travels with the call, as a [`Value`] does.
///
/// The same aggregate serves windows and state. Without a window, [`Aggregate::result`] is given all of time.
#[derive(Debug)]
pub struct Aggregating<A: Aggregate> {
    value: Value<A::Acc>,
}

impl<A: Aggregate> Aggregating<A> {
    pub(in crate::process) fn new(value: Value<A::Acc>) -> Self {
        Self { value }
    }

    /// Adds a row to the key's accumulator.
    #[inline]
    pub fn add<P: Process>(&self, cx: &mut Context<'_, P>, row: A::In<'_>) {
        self.value.update(cx, |accumulator| A::add(accumulator, row));
    }

    /// The result of what was added; none when nothing was.
    #[inline]
    pub fn get<P: Process>(&self, cx: &Context<'_, P>) -> Option<A::Out> {
        let always = Window { start: Timestamp::MIN, end: Timestamp::MAX };
        self.value.get(cx).map(|accumulator| A::result(&accumulator, &always))
    }

    /// The accumulator, if something was added.
    #[inline]
    pub fn accumulator<P: Process>(&self, cx: &Context<'_, P>) -> Option<A::Acc> {
        self.value.get(cx)
    }

    /// Forgets what was added.
    #[inline]
    pub fn clear<P: Process>(&self, cx: &mut Context<'_, P>) {
        self.value.clear(cx);
    }
}
