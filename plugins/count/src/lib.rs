//! Counts the events of each key: a row for each event, with how many its key has had.
use wasmill_sdk::prelude::*;

/// What the generator makes, as far as it is read here.
#[derive(Record)]
pub struct Event {
    pub value: i64,
}

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Counted<'a> {
    pub key: &'a str,
    pub count: u64,
    pub value: i64,
}

pub struct Count {
    count: Value<u64>,
}

impl Process for Count {
    const SUMMARY: &'static str = "counts the events of each key";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Counted<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self {
            count: cx.value("count"),
        })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let count = self.count.update(cx, |count| *count += 1);
        cx.emit(Counted {
            key: cx.key().key,
            count,
            value: event.value,
        });
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
        value: i64,
    }

    #[test]
    fn each_key_counts_its_own() {
        let mut count = Drive::<Count>::over::<Generated<'_>>("");
        let events = [("a", 5), ("b", 6), ("a", 7)]
            .map(|(key, value)| (Timestamp(0), Generated { key, value }));
        count.batch(events);
        let counted = |key, count, value| Counted { key, count, value };
        assert_eq!(
            count.outputs(),
            [counted("a", 1, 5), counted("b", 1, 6), counted("a", 2, 7)]
        );
    }
}
