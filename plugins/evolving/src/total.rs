//! What a window's events have spent, in accumulators.
use crate::Event;
use wasmill_sdk::prelude::*;
use wasmill_sdk::{decode_value, encode_value};

#[derive(Record, Debug, PartialEq)]
pub struct Total {
    pub events: u64,
    pub spent: i64,
    /// what later versions know
    pub limit: Option<u64>,
}

#[derive(Record, Default)]
pub struct FirstTally {
    spent: i64,
    /// which nobody reads
    last: i64,
    events: u64,
}

pub struct FirstTotal;

impl Aggregate for FirstTotal {
    type In<'a> = Event;
    type Acc = FirstTally;
    type Out = Total;

    fn add(acc: &mut FirstTally, Event { value }: Event) {
        *acc = FirstTally { spent: acc.spent + value, last: value, events: acc.events + 1 };
    }

    fn merge(acc: &mut FirstTally, other: FirstTally) {
        acc.spent += other.spent;
        acc.events += other.events;
    }

    fn result(acc: &FirstTally, _: &Window) -> Total {
        Total { events: acc.events, spent: acc.spent, limit: None }
    }
}

/// A field is gone, and one is new.
#[derive(Record)]
pub struct SecondTally {
    events: u64,
    limit: u64,
    spent: i64,
}

impl Default for SecondTally {
    fn default() -> Self {
        Self { events: 0, limit: 1_000, spent: 0 }
    }
}

/// That needs no code.
pub struct SecondTotal;

impl Aggregate for SecondTotal {
    type In<'a> = Event;
    type Acc = SecondTally;
    type Out = Total;

    fn add(acc: &mut SecondTally, Event { value }: Event) {
        acc.spent += value;
        acc.events += 1;
    }

    fn merge(acc: &mut SecondTally, other: SecondTally) {
        acc.spent += other.spent;
        acc.events += other.events;
    }

    fn result(acc: &SecondTally, _: &Window) -> Total {
        Total { events: acc.events, spent: acc.spent, limit: Some(acc.limit) }
    }
}

#[derive(Record, Default)]
pub struct ThirdTally {
    events: u64,
    cents: i64,
    /// of another length from window to window
    note: String,
}

/// What a field holds is another number: that needs a version, and code.
pub struct ThirdTotal;

impl Aggregate for ThirdTotal {
    const VERSION: u32 = 1;
    type In<'a> = Event;
    type Acc = ThirdTally;
    type Out = Total;

    fn add(acc: &mut ThirdTally, Event { value }: Event) {
        acc.cents += value * 100;
        acc.events += 1;
    }

    fn merge(acc: &mut ThirdTally, other: ThirdTally) {
        acc.cents += other.cents;
        acc.events += other.events;
    }

    fn result(acc: &ThirdTally, _: &Window) -> Total {
        Total { events: acc.events, spent: acc.cents / 100, limit: Some(1_000) }
    }

    fn migrate(from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        if from_version != 0 {
            return Err("there never was such an accumulator".into());
        }
        let SecondTally { events, limit, spent } = decode_value(value)?;
        Ok(encode_value(&ThirdTally { events, cents: spent * 100, note: format!("it was below {limit}") }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::DriveAggregate;

    fn total<A: for<'a> Aggregate<In<'a> = Event, Out = Total>>() -> Total {
        let (mut morning, mut evening) = (DriveAggregate::<A>::new(), DriveAggregate::<A>::new());
        morning.add([4, 12].map(|value| Event { value }));
        evening.add([Event { value: 1 }]);
        morning.merge(evening);
        morning.result(Timestamp(0), Timestamp(1))
    }

    #[test]
    fn every_version_adds_up_the_same() {
        let first = Total { events: 3, spent: 17, limit: None };
        assert_eq!(total::<FirstTotal>(), first);
        let later = Total { limit: Some(1_000), ..first };
        assert_eq!(total::<SecondTotal>(), later);
        assert_eq!(total::<ThirdTotal>(), later);
    }
}
