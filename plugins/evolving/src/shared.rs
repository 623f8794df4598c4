//! What everybody has spent, in broadcast state, beside what each key has.
use crate::Event;
use crate::account::{FirstVersion, Key, SecondVersion, ThirdVersion, Version};
use wasmill_sdk::prelude::*;

const BUCKETS: i64 = 8;

/// Every row has what is known of its bucket; one of an event also what its key has had.
#[derive(Record, Debug, PartialEq)]
pub struct Known<'a> {
    pub bucket: i64,
    pub count: u64,
    pub spent: i64,
    /// what later versions know
    pub limit: Option<u64>,
    pub key: Option<&'a str>,
    pub events: Option<u64>,
}

pub struct Shared<V: Version> {
    account: Value<V::Account>,
    everybody: BroadcastMap<i64, V::Account>,
}

impl<V: Version> Process for Shared<V> {
    const SUMMARY: &'static str = "what everybody has spent";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Known<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        let account = cx.state("account").version(V::ACCOUNT_VERSION).value();
        Ok(Self { account, everybody: cx.state("everybody").version(V::ACCOUNT_VERSION).broadcast_map() })
    }

    fn on_event(&self, Event { value }: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let account = self.account.update(cx, |account| V::add(account, value));
        let (events, ..) = V::read(&account);
        let bucket = value % BUCKETS;
        let (count, spent, limit) = self.everybody.get(cx, &bucket).map_or((0, 0, None), |known| V::read(&known));
        cx.emit(Known { bucket, count, spent, limit, key: Some(cx.key().key), events: Some(events) });
        Ok(())
    }

    fn migrate(&self, state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        V::migrate(state, from_version, value)
    }
}

impl<V: Version> Broadcast for Shared<V> {
    type BroadcastIn<'a> = Event;

    fn on_broadcast(&self, Event { value }: Event, cx: &mut BroadcastContext<'_, Self>) -> Outcome {
        let bucket = value % BUCKETS;
        let mut known = self.everybody.get(cx, &bucket).unwrap_or_default();
        V::add(&mut known, value);
        let (count, spent, limit) = V::read(&known);
        self.everybody.insert(cx, bucket, known);
        cx.emit(Known { bucket, count, spent, limit, key: None, events: None });
        Ok(())
    }
}

pub type FirstShared = Shared<FirstVersion>;
pub type SecondShared = Shared<SecondVersion>;
pub type ThirdShared = Shared<ThirdVersion>;

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Input<'a> {
        key: &'a str,
        value: i64,
    }

    fn knows<V: Version>(limit: Option<u64>) {
        let mut shared = Drive::<Shared<V>>::over_with_broadcast::<Input<'_>>("");
        shared.broadcast_batch([4, 12].map(|value| (Timestamp(0), Event { value })));
        shared.batch([(Timestamp(0), Input { key: "a", value: 20 })]);
        let last = Known { bucket: 4, count: 2, spent: 16, limit, key: Some("a"), events: Some(1) };
        assert_eq!(shared.outputs()[2], last);
    }

    #[test]
    fn every_version_knows_the_same() {
        knows::<FirstVersion>(None);
        knows::<SecondVersion>(Some(1_000));
        knows::<ThirdVersion>(Some(1_000));
    }
}
