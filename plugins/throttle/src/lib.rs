//! The latest value of each key, at most once in a second of the machine's clock.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
}

#[derive(Record)]
pub struct Event {
    pub value: i64,
}

#[derive(Record, Debug, PartialEq)]
pub struct Latest<'a> {
    pub key: &'a str,
    pub value: i64,
    /// by the machine's clock
    pub at: Timestamp,
}

#[derive(Timers)]
#[timer(processing_time)]
pub struct Due;

pub struct Throttle {
    latest: Value<i64>,
    replaced: Counter,
}

impl Process for Throttle {
    const SUMMARY: &'static str = "the latest value of each key, at most once a second";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Latest<'a>;
    type Timer = Due;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { latest: cx.value("latest"), replaced: cx.counter("replaced") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        if self.latest.exists(cx) {
            cx.count(self.replaced, 1);
        } else {
            cx.wake_at(cx.processing_time() + seconds(1), Due);
        }
        self.latest.set(cx, event.value);
        Ok(())
    }

    fn on_timer(&self, _: Due, cx: &mut Keyed<'_, Self>) -> Outcome {
        let (key, value, at) = (cx.key().key, self.latest.get_or_default(cx), cx.time());
        cx.emit(Latest { key, value, at });
        self.latest.clear(cx);
        Ok(())
    }
}

export!(process: Throttle);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Reading<'a> {
        key: &'a str,
        value: i64,
    }

    #[test]
    fn a_burst_is_one_row() {
        let mut throttle = Drive::<Throttle>::over::<Reading<'_>>("");
        throttle.processing_time(Timestamp(0));
        for value in [1, 2, 3] {
            throttle.event(Timestamp(0), Reading { key: "a", value });
        }
        assert_eq!(throttle.outputs(), []);
        throttle.processing_time(Timestamp(0) + seconds(1));
        assert_eq!(throttle.outputs(), [Latest { key: "a", value: 3, at: Timestamp(1_000_000) }]);
        assert_eq!((throttle.counter("replaced"), throttle.live_keys()), (2, 0));
    }
}
