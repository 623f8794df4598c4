//! Counts the events of each key: a row for each event, with how many its key has had. It reads every column.
use wasmill_sdk::prelude::*;

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
    /// the event's, mixed with its other columns
    pub value: i64,
}

pub struct Count {
    count: Value<u64>,
}

impl Process for Count {
    const SUMMARY: &'static str = "counts the events of each key";
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
        cx.emit(Counted { key: cx.key().key, count, value: event.timestamp ^ event.value ^ first });
        Ok(())
    }
}

export!(process: Count);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Generated<'a> {
        key: &'a str,
        timestamp: i64,
        value: i64,
        payload: &'a [u8],
    }

    #[test]
    fn each_key_counts_its_own() {
        let mut count = Drive::<Count>::over::<Generated<'_>>("");
        let events = ["a", "b", "a"].map(|key| Generated { key, timestamp: 8, value: 4, payload: &[2, 9] });
        count.batch(events.map(|event| (Timestamp(0), event)));
        let counted = |key, count| Counted { key, count, value: 14 };
        assert_eq!(count.outputs(), [counted("a", 1), counted("b", 1), counted("a", 2)]);
    }
}
