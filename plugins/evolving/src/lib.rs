//! Versions of one operator, as if each had taken the place of the one before: what their states hold has changed. Over the
//! generator's keyed events.
use wasmill_sdk::prelude::*;
use wasmill_sdk::{decode_value, encode_value};

#[derive(Record)]
pub struct Event {
    pub value: i64,
}

#[derive(Record)]
pub struct Key<'a> {
    pub key: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Spent<'a> {
    pub key: &'a str,
    pub count: u64,
    pub spent: i64,
    /// events of the key with a value like this one
    pub alike: u64,
}

/// What later versions emit.
#[derive(Record, Debug, PartialEq)]
pub struct Limited<'a> {
    pub key: &'a str,
    pub count: u64,
    pub spent: i64,
    pub alike: u64,
    pub limit: u64,
    pub label: String,
}

#[derive(Record, Default)]
pub struct FirstAccount {
    spent: i64,
    count: u64,
}

#[derive(Record, Default)]
pub struct FirstBucket {
    count: u64,
}

/// The first version.
pub struct First {
    account: Value<FirstAccount>,
    buckets: Map<i64, FirstBucket>,
}

impl Process for First {
    const SUMMARY: &'static str = "what each key has spent";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Spent<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { account: cx.value("account"), buckets: cx.map("buckets") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let bucket = event.value % 8;
        let alike = self.buckets.get(cx, &bucket).map_or(0, |bucket| bucket.count) + 1;
        self.buckets.insert(cx, bucket, FirstBucket { count: alike });
        let mut account = self.account.get(cx).unwrap_or_default();
        (account.spent, account.count) = (account.spent + event.value, account.count + 1);
        cx.emit(Spent { key: cx.key().key, count: account.count, spent: account.spent, alike });
        self.account.set(cx, account);
        Ok(())
    }
}

/// Its fields have another order, and one is new.
#[derive(Record)]
pub struct SecondAccount {
    count: u64,
    limit: u64,
    spent: i64,
}

impl Default for SecondAccount {
    fn default() -> Self {
        Self { count: 0, limit: 1_000, spent: 0 }
    }
}

#[derive(Record)]
pub struct SecondBucket {
    label: String,
    count: u64,
}

impl Default for SecondBucket {
    fn default() -> Self {
        Self { label: "none".to_owned(), count: 0 }
    }
}

/// Fields were added: that needs no code.
pub struct Second {
    account: Value<SecondAccount>,
    buckets: Map<i64, SecondBucket>,
}

impl Process for Second {
    const SUMMARY: &'static str = "what each key has spent, and may";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Limited<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { account: cx.value("account"), buckets: cx.map("buckets") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let (alike, label) = count_alike(&self.buckets, event.value, cx);
        let mut account = self.account.get(cx).unwrap_or_default();
        (account.spent, account.count) = (account.spent + event.value, account.count + 1);
        let SecondAccount { count, limit, spent } = account;
        cx.emit(Limited { key: cx.key().key, count, spent, alike, limit, label });
        self.account.set(cx, account);
        Ok(())
    }
}

/// A field has another name and another unit.
#[derive(Record)]
pub struct ThirdAccount {
    count: u64,
    limit: u64,
    cents: i64,
}

impl Default for ThirdAccount {
    fn default() -> Self {
        Self { count: 0, limit: 1_000, cents: 0 }
    }
}

/// A field was renamed, and what it holds is another number: that needs a version, and code.
pub struct Third {
    account: Value<ThirdAccount>,
    buckets: Map<i64, SecondBucket>,
}

impl Process for Third {
    const SUMMARY: &'static str = "what each key has spent, and may, in cents";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Limited<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { account: cx.state("account").version(1).value(), buckets: cx.map("buckets") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let (alike, label) = count_alike(&self.buckets, event.value, cx);
        let mut account = self.account.get(cx).unwrap_or_default();
        (account.cents, account.count) = (account.cents + event.value * 100, account.count + 1);
        let ThirdAccount { count, limit, cents } = account;
        cx.emit(Limited { key: cx.key().key, count, spent: cents / 100, alike, limit, label });
        self.account.set(cx, account);
        Ok(())
    }

    fn migrate(&self, state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        match (state, from_version) {
            ("account", 0) => {
                let SecondAccount { count, limit, spent } = decode_value(value)?;
                Ok(encode_value(&ThirdAccount { count, limit, cents: spent * 100 }))
            }
            _ => Err("there never was such a state".into()),
        }
    }
}

fn count_alike<P: Process>(buckets: &Map<i64, SecondBucket>, value: i64, cx: &mut Keyed<'_, P>) -> (u64, String) {
    let mut bucket = buckets.get(cx, &(value % 8)).unwrap_or_default();
    bucket.count += 1;
    let seen = (bucket.count, bucket.label.clone());
    buckets.insert(cx, value % 8, bucket);
    seen
}

export!(process: First, Second, Third);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Input<'a> {
        key: &'a str,
        value: i64,
    }

    fn events() -> impl Iterator<Item = (Timestamp, Input<'static>)> {
        [4, 12].into_iter().map(|value| (Timestamp(0), Input { key: "a", value }))
    }

    #[test]
    fn every_version_counts_the_same() {
        let mut first = Drive::<First>::over::<Input<'_>>("");
        first.batch(events());
        assert_eq!(first.outputs()[1], Spent { key: "a", count: 2, spent: 16, alike: 2 });
        let last = Limited { key: "a", count: 2, spent: 16, alike: 2, limit: 1_000, label: "none".to_owned() };
        let mut second = Drive::<Second>::over::<Input<'_>>("");
        second.batch(events());
        assert_eq!(second.outputs()[1], last);
        let mut third = Drive::<Third>::over::<Input<'_>>("");
        third.batch(events());
        assert_eq!(third.outputs()[1], last);
    }
}
