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

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
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

#[derive(Record)]
pub struct Update<'a> {
    pub payload: &'a [u8],
}

#[derive(Record, Debug, PartialEq)]
pub struct Replaced {
    /// of the payload before
    pub bytes: u64,
}

/// State of a known size, for checkpoints. What it emits tells of state that was there.
pub struct KeepLast {
    last: Value<Vec<u8>>,
}

impl Process for KeepLast {
    const SUMMARY: &'static str = "keeps the last payload of each key: a row for each that it replaces";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Update<'a>;
    type Out<'a> = Replaced;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { last: cx.value("last") })
    }

    fn on_event(&self, update: Update<'_>, cx: &mut Keyed<'_, Self>) -> Outcome {
        let before = self.last.get(cx);
        self.last.set(cx, update.payload.to_vec());
        if let Some(before) = before {
            cx.emit(Replaced { bytes: before.len() as u64 });
        }
        Ok(())
    }
}

export!(process: WeighClick, MapKeyed, KeepLast);

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
    struct Event<'a> {
        key: &'a str,
        value: i64,
    }

    #[test]
    fn a_value_with_a_key_gets_one_more() {
        let mut map = Drive::<MapKeyed>::over::<Event<'_>>("");
        map.event(Timestamp(0), Event { key: "a", value: 4 });
        assert_eq!(map.outputs(), [Extend(Number { value: 5 })]);
    }

    #[derive(Record)]
    struct Kept<'a> {
        key: &'a str,
        payload: &'a [u8],
    }

    #[test]
    fn the_last_payload_is_kept() {
        let mut keep = Drive::<KeepLast>::over::<Kept<'_>>("");
        let events = [("a", &[1, 2][..]), ("b", &[3]), ("a", &[])];
        keep.batch(events.map(|(key, payload)| (Timestamp(0), Kept { key, payload })));
        assert_eq!(keep.outputs(), [Replaced { bytes: 2 }]);
    }
}
