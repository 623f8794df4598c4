//! An operator for each kind of state, over the generator's keyed events or any that have a text `key` and a `value`.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Event {
    pub value: i64,
}

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Folded {
    pub largest: i64,
    pub mean: f64,
}

#[derive(Record, Default)]
pub struct Tally {
    count: u64,
    sum: i64,
}

pub struct Mean;

#[derive(Record)]
pub struct MeanValue {
    pub mean: f64,
}

impl Aggregate for Mean {
    const SUMMARY: &'static str = "the mean of values";
    type In<'a> = Event;
    type Acc = Tally;
    type Out = MeanValue;

    fn add(tally: &mut Tally, event: Event) {
        tally.count += 1;
        tally.sum += event.value;
    }
    fn merge(tally: &mut Tally, other: Tally) {
        tally.count += other.count;
        tally.sum += other.sum;
    }
    fn result(tally: &Tally, _: &Window) -> MeanValue {
        MeanValue { mean: tally.sum as f64 / tally.count as f64 }
    }
}

/// Reducing and aggregating state: the largest value and the mean of a key so far. Refuses negative values, after it has
/// added them.
pub struct Fold {
    largest: Reducing<i64>,
    mean: Aggregating<Mean>,
}

impl Process for Fold {
    const SUMMARY: &'static str = "the largest value and the mean of each key so far";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Extend<Folded>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { largest: cx.reducing("largest", i64::max), mean: cx.aggregating("mean") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let value = event.value;
        let largest = self.largest.add(cx, value);
        self.mean.add(cx, event);
        let mean = self.mean.get(cx).map_or(0.0, |result| result.mean);
        cx.emit(Extend(Folded { largest, mean }));
        if value < 0 { Err("it is negative".into()) } else { Ok(()) }
    }
}

mod entries;
mod expiring;
mod held;
mod judge;

pub use entries::{Basket, Baskets, Latest, Recent};
pub use expiring::FirstSeen;
pub use held::{Hold, Once, Released};
pub use judge::{Judge, Judged, Limit};

export!(process: Fold, Baskets, Recent, FirstSeen, Hold, Once; broadcast: Judge; aggregate: Mean);

#[cfg(test)]
mod tests;
