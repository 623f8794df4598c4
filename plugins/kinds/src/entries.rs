use super::{Event, Key};
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct Basket {
    /// of how many values the key has had is known
    pub known: u64,
    /// how often it has had this one
    pub times: u64,
    pub smallest: i64,
    pub largest: i64,
}

/// A map: how often a key has had each value. Every hundredth of one key empties its basket; refuses negative values,
/// after it has counted them, and traps for 666.
pub struct Baskets {
    counts: Map<i64, u64>,
}

impl Process for Baskets {
    const SUMMARY: &'static str = "how often each key has had each value";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Extend<Basket>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { counts: cx.map("counts") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let times = self.counts.get(cx, &event.value).unwrap_or(0) + 1;
        self.counts.insert(cx, event.value, times);
        assert!(event.value != 666, "as it should");
        if event.value < 0 {
            return Err("it is negative".into());
        }
        let (smallest, _) = self.counts.first(cx, ..).ok_or("it was just inserted")?;
        let known: Vec<_> = self.counts.iter(cx).collect();
        let largest = known.last().map_or(smallest, |(value, _)| *value);
        cx.emit(Extend(Basket { known: known.len() as u64, times, smallest, largest }));
        if known.len() == 100 {
            self.counts.clear(cx);
        }
        Ok(())
    }
}

#[derive(Record, Debug, PartialEq)]
pub struct Latest {
    pub latest: Vec<i64>,
}

/// A list: the values of a key, emitted and forgotten when there are 50 of them. Refuses negative values, after it has
/// added them, and traps for 666.
pub struct Recent {
    values: List<i64>,
    count: Value<u32>,
}

impl Process for Recent {
    const SUMMARY: &'static str = "the values of each key, fifty at a time";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Extend<Latest>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { values: cx.list("values"), count: cx.value("count") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        self.values.push(cx, event.value);
        assert!(event.value != 666, "as it should");
        if event.value < 0 {
            return Err("it is negative".into());
        }
        if self.count.update(cx, |count| *count += 1) == 50 {
            let latest = self.values.iter(cx).collect();
            cx.emit(Extend(Latest { latest }));
            self.values.clear(cx);
            self.count.clear(cx);
        }
        Ok(())
    }
}
