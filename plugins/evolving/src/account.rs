//! What each key has spent, in values and maps.
use crate::Event;
use wasmill_sdk::prelude::*;
use wasmill_sdk::{Data, decode_value, encode_value};

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
    /// what later versions know
    pub limit: Option<u64>,
    pub label: Option<String>,
}

/// What differs between versions.
pub trait Version: 'static {
    const ACCOUNT_VERSION: u32 = 0;
    type Account: Data + Default;
    type Bucket: Data + Default;

    fn add(account: &mut Self::Account, value: i64);
    /// How many events there were, what they spent, and the limit.
    fn read(account: &Self::Account) -> (u64, i64, Option<u64>);
    /// Counts an event; how many there were, and the label.
    fn count(bucket: &mut Self::Bucket) -> (u64, Option<String>);

    fn migrate(state: &str, _from_version: u32, _value: &[u8]) -> Result<Vec<u8>, Error> {
        Err(format!("there never was another `{state}`").into())
    }
}

pub struct Account<V: Version> {
    account: Value<V::Account>,
    buckets: Map<i64, V::Bucket>,
}

impl<V: Version> Process for Account<V> {
    const SUMMARY: &'static str = "what each key has spent";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Spent<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { account: cx.state("account").version(V::ACCOUNT_VERSION).value(), buckets: cx.map("buckets") })
    }

    fn on_event(&self, Event { value }: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let mut bucket = self.buckets.get(cx, &(value % 8)).unwrap_or_default();
        let (alike, label) = V::count(&mut bucket);
        self.buckets.insert(cx, value % 8, bucket);
        let account = self.account.update(cx, |account| V::add(account, value));
        let (count, spent, limit) = V::read(&account);
        cx.emit(Spent { key: cx.key().key, count, spent, alike, limit, label });
        Ok(())
    }

    fn migrate(&self, state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        V::migrate(state, from_version, value)
    }
}

pub type First = Account<FirstVersion>;

pub struct FirstVersion;

#[derive(Record, Default)]
pub struct FirstAccount {
    spent: i64,
    count: u64,
}

#[derive(Record, Default)]
pub struct FirstBucket {
    count: u64,
}

impl Version for FirstVersion {
    type Account = FirstAccount;
    type Bucket = FirstBucket;

    fn add(account: &mut FirstAccount, value: i64) {
        (account.spent, account.count) = (account.spent + value, account.count + 1);
    }

    fn read(account: &FirstAccount) -> (u64, i64, Option<u64>) {
        (account.count, account.spent, None)
    }

    fn count(bucket: &mut FirstBucket) -> (u64, Option<String>) {
        bucket.count += 1;
        (bucket.count, None)
    }
}

/// Fields were added: that needs no code.
pub type Second = Account<SecondVersion>;

pub struct SecondVersion;

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

impl Version for SecondVersion {
    type Account = SecondAccount;
    type Bucket = SecondBucket;

    fn add(account: &mut SecondAccount, value: i64) {
        (account.spent, account.count) = (account.spent + value, account.count + 1);
    }

    fn read(account: &SecondAccount) -> (u64, i64, Option<u64>) {
        (account.count, account.spent, Some(account.limit))
    }

    fn count(bucket: &mut SecondBucket) -> (u64, Option<String>) {
        bucket.count += 1;
        (bucket.count, Some(bucket.label.clone()))
    }
}

/// A field was renamed, and what it holds is another number: that needs a version, and code.
pub type Third = Account<ThirdVersion>;

pub struct ThirdVersion;

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

impl Version for ThirdVersion {
    const ACCOUNT_VERSION: u32 = 1;
    type Account = ThirdAccount;
    type Bucket = SecondBucket;

    fn add(account: &mut ThirdAccount, value: i64) {
        (account.cents, account.count) = (account.cents + value * 100, account.count + 1);
    }

    fn read(account: &ThirdAccount) -> (u64, i64, Option<u64>) {
        (account.count, account.cents / 100, Some(account.limit))
    }

    fn count(bucket: &mut SecondBucket) -> (u64, Option<String>) {
        SecondVersion::count(bucket)
    }

    fn migrate(state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        match (state, from_version) {
            ("account" | "everybody", 0) => {
                let SecondAccount { count, limit, spent } = decode_value(value)?;
                Ok(encode_value(&ThirdAccount { count, limit, cents: spent * 100 }))
            }
            _ => Err("there never was such a state".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Input<'a> {
        key: &'a str,
        value: i64,
    }

    fn counts<V: Version>(limit: Option<u64>, label: Option<&str>) {
        let mut account = Drive::<Account<V>>::over::<Input<'_>>("");
        account.batch([4, 12].map(|value| (Timestamp(0), Input { key: "a", value })));
        let label = label.map(str::to_owned);
        assert_eq!(account.outputs()[1], Spent { key: "a", count: 2, spent: 16, alike: 2, limit, label });
    }

    #[test]
    fn every_version_counts_the_same() {
        counts::<FirstVersion>(None, None);
        counts::<SecondVersion>(Some(1_000), Some("none"));
        counts::<ThirdVersion>(Some(1_000), Some("none"));
    }
}
