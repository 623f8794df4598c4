//! Says of each number of a key whether it is the one after the last: what has lost its order, or a row, shows.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Number {
    pub count: u64,
}

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Step<'a> {
    pub key: &'a str,
    pub count: u64,
    pub follows: bool,
}

pub struct Steps {
    last: Value<u64>,
}

impl Process for Steps {
    const SUMMARY: &'static str = "whether the counts of each key come one after the other";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Number;
    type Out<'a> = Step<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { last: cx.value("last") })
    }

    fn on_event(&self, Number { count }: Number, cx: &mut Keyed<'_, Self>) -> Outcome {
        let mut follows = false;
        self.last.update(cx, |last| {
            follows = count == *last + 1;
            *last = count;
        });
        cx.emit(Step { key: cx.key().key, count, follows });
        Ok(())
    }
}

export!(process: Steps);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Row<'a> {
        key: &'a str,
        count: u64,
    }

    #[test]
    fn what_does_not_follow_is_said_to() {
        let mut steps = Drive::<Steps>::over::<Row<'_>>("");
        let rows = [("a", 1), ("b", 1), ("a", 2), ("a", 4), ("a", 3)].map(|(key, count)| Row { key, count });
        steps.batch(rows.map(|row| (Timestamp(0), row)));
        let step = |key, count, follows| Step { key, count, follows };
        let expected = [("a", 1, true), ("b", 1, true), ("a", 2, true), ("a", 4, false), ("a", 3, false)];
        assert_eq!(steps.outputs(), expected.map(|(key, count, follows)| step(key, count, follows)));
    }
}
