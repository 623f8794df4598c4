//! The payments of a run, all of them made from its seed.

use serde::{Deserialize, Serialize};

pub const TOPICS: u32 = 3;
pub const PARTITIONS: u32 = 4;

/// What the job's watermark waits for, in milliseconds: no payment is as late as that.
const DISORDER: i64 = 2_000;
/// The event time of the first payment, and from there to the last one, in milliseconds: a hundred windows of the job,
/// however many payments there are.
const START: i64 = 1_700_000_000_000;
const SPAN: i64 = 1_000_000;

/// Of an account, about.
const PAYMENTS_EACH: u32 = 500;
const CENTS_MAX: i64 = 10_000;

/// One payment in so many overflows its account's balance, and the operator traps.
const OVERFLOWS_EVERY: u32 = 4_000;

#[derive(Clone, Copy, Debug)]
pub struct Payment {
    pub account: u32,
    /// Of the account's payments, from 1.
    pub number: u32,
    pub cents: i64,
    /// Event time, in milliseconds.
    pub at: i64,
}

/// A payment on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message<'a> {
    pub account: &'a str,
    pub number: u32,
    pub cents: i64,
    pub at: i64,
}

impl Payment {
    /// Whether the operator can book it; if not, it is a dead letter.
    pub fn is_good(&self) -> bool {
        self.cents <= CENTS_MAX
    }

    /// All payments of an account are in one partition, so that they have an order.
    pub fn topic(&self) -> u32 {
        self.account % TOPICS
    }

    pub fn partition(&self) -> u32 {
        self.account / TOPICS % PARTITIONS
    }

    pub fn write(&self, account: &mut String, json: &mut Vec<u8>) {
        account.clear();
        account.push_str(&account_name(self.account));
        json.clear();
        let message = Message { account, number: self.number, cents: self.cents, at: self.at };
        serde_json::to_writer(json, &message).expect("a payment is plain JSON");
    }
}

pub fn topic_name(topic: u32) -> String {
    format!("payments-{topic}")
}

pub fn account_name(account: u32) -> String {
    format!("account-{account}")
}

/// The account of this name.
pub fn account_number(name: &str) -> Option<u32> {
    name.strip_prefix("account-")?.parse().ok()
}

pub fn accounts(events: u32) -> u32 {
    (events / PAYMENTS_EACH).max(TOPICS * PARTITIONS * 4)
}

/// The payments in the order in which they are sent.
pub fn payments(seed: u64, events: u32) -> Vec<Payment> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut numbers = vec![0; accounts(events) as usize];
    let payment = |i: u32| {
        let account = random.u32(..numbers.len() as u32);
        let number = &mut numbers[account as usize];
        *number += 1;
        // The first payment of an account leaves it a balance that can overflow.
        let overflows = *number > 1 && random.u32(..OVERFLOWS_EVERY) == 0;
        let cents = if overflows { i64::MAX } else { random.i64(1..=CENTS_MAX) };
        let at = START + i64::from(i) * SPAN / i64::from(events) - random.i64(0..DISORDER);
        Payment { account, number: *number, cents, at }
    };
    (0..events).map(payment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_its_payments() {
        let texts = |seed| {
            let (mut account, mut json) = (String::new(), Vec::new());
            let text = |payment: Payment| {
                payment.write(&mut account, &mut json);
                String::from_utf8(json.clone()).unwrap()
            };
            payments(seed, 20_000).into_iter().map(text).collect::<Vec<_>>()
        };
        let one = texts(1);
        assert_eq!(one, texts(1));
        assert_ne!(one, texts(2));
        let first: Message<'_> = serde_json::from_str(&one[0]).unwrap();
        assert_eq!((first.number, account_number(first.account).is_some()), (1, true));
        let bad = payments(1, 100_000).iter().filter(|payment| !payment.is_good()).count();
        assert!((10..50).contains(&bad), "{bad}");
    }
}
