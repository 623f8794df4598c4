//! Operators that only the benches run: they do little, with as many columns as the comparison wants.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Click<'a> {
    pub ad_id: &'a str,
    pub ip: &'a str,
    pub timestamp: Timestamp,
}

#[derive(Record, Debug, PartialEq)]
pub struct Weight {
    pub weight: i64,
}

/// Reads three columns of a click's six, and writes one.
pub struct WeighClick;

impl Process for WeighClick {
    const SUMMARY: &'static str = "gives each click a number, made of its ad, its address and its time";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Click<'a>;
    type Out<'a> = Extend<Weight>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, click: Click<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        let of_text = |text: &str| text.bytes().last().map_or(0, |last| text.len() as i64 * i64::from(last));
        cx.emit(Extend(Weight { weight: of_text(click.ad_id) + of_text(click.ip) + click.timestamp.0 % 1000 }));
        Ok(())
    }
}

/// What the generator's `keyed` events have besides their key.
#[derive(Record)]
pub struct Event<'a> {
    pub timestamp: i64,
    pub value: i64,
    pub payload: &'a [u8],
}

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Counted<'a> {
    pub key: &'a str,
    pub count: u64,
    /// made of all columns, so that they are read
    pub mark: i64,
}

/// Counts the events of each key, and reads every column.
pub struct CountEvents {
    count: Value<u64>,
}

impl Process for CountEvents {
    const SUMMARY: &'static str = "counts the events of each key, of which it reads every column";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event<'a>;
    type Out<'a> = Counted<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { count: cx.value("count") })
    }

    fn on_event(&self, event: Event<'_>, cx: &mut Keyed<'_, Self>) -> Outcome {
        let count = self.count.update(cx, |count| *count += 1);
        let first = event.payload.first().map_or(0, |first| i64::from(*first));
        cx.emit(Counted { key: cx.key().key, count, mark: event.timestamp ^ event.value ^ first });
        Ok(())
    }
}

#[derive(Record, Debug, PartialEq)]
pub struct Number {
    pub value: i64,
}

/// A map that stands behind a keyed exchange.
pub struct MapKeyed;

impl Process for MapKeyed {
    const SUMMARY: &'static str = "adds 1 to the value of an event with a key";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Number;
    type Out<'a> = Extend<Number>;
    type Timer = NoTimers;

    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_event(&self, event: Number, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.emit(Extend(Number { value: event.value.wrapping_add(1) }));
        Ok(())
    }
}

export!(process: WeighClick, CountEvents, MapKeyed);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[test]
    fn a_click_weighs_something() {
        let mut weigh = Drive::<WeighClick>::new();
        weigh.event(Timestamp(0), Click { ad_id: "a1", ip: "", timestamp: Timestamp(2_007) });
        assert_eq!(weigh.outputs(), [Extend(Weight { weight: 2 * i64::from(b'1') + 7 })]);
    }

    #[derive(Record)]
    struct Generated<'a> {
        key: &'a str,
        timestamp: i64,
        value: i64,
        payload: &'a [u8],
    }

    #[test]
    fn each_key_counts_its_own() {
        let mut count = Drive::<CountEvents>::over::<Generated<'_>>("");
        for key in ["a", "b", "a"] {
            count.event(Timestamp(0), Generated { key, timestamp: 8, value: 4, payload: &[2, 9] });
        }
        let counted = |key, count| Counted { key, count, mark: 14 };
        assert_eq!(count.outputs(), [counted("a", 1), counted("b", 1), counted("a", 2)]);
    }
}
