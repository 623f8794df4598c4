//! Books payments: a row for each, with what its account has then. A balance that overflows is a bug of ours, and traps.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Account<'a> {
    pub account: &'a str,
}

#[derive(Record)]
pub struct Payment {
    /// of the account's payments
    pub number: u32,
    pub cents: i64,
}

#[derive(Record, Debug, PartialEq)]
pub struct Booked<'a> {
    pub account: &'a str,
    pub number: u32,
    pub cents: i64,
    pub balance: i64,
    /// how many payments the account has had, with this one
    pub entries: u32,
}

pub struct Ledger {
    balance: Value<i64>,
    entries: Value<u32>,
}

impl Process for Ledger {
    const SUMMARY: &'static str = "the running balance of each account";
    const READS_TIMES: bool = false;
    type Key<'a> = Account<'a>;
    type In<'a> = Payment;
    type Out<'a> = Booked<'a>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { balance: cx.value("balance"), entries: cx.value("entries") })
    }

    fn on_event(&self, payment: Payment, cx: &mut Keyed<'_, Self>) -> Outcome {
        let Payment { number, cents } = payment;
        let before = self.balance.get_or_default(cx);
        let balance = before.checked_add(cents).expect("the balance overflows");
        let entries = self.entries.get_or_default(cx) + 1;
        self.balance.set(cx, balance);
        self.entries.set(cx, entries);
        cx.emit(Booked { account: cx.key().account, number, cents, balance, entries });
        Ok(())
    }
}

export!(process: Ledger);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

    #[derive(Record)]
    struct Sent<'a> {
        account: &'a str,
        number: u32,
        cents: i64,
    }

    #[test]
    fn each_account_has_its_balance() {
        let mut ledger = Drive::<Ledger>::over::<Sent<'_>>("");
        let sent = [("a", 1, 5), ("b", 1, 7), ("a", 2, -2)];
        ledger.batch(sent.map(|(account, number, cents)| (Timestamp(0), Sent { account, number, cents })));
        let booked = |account, number, cents, balance| Booked { account, number, cents, balance, entries: number };
        assert_eq!(ledger.outputs(), [booked("a", 1, 5, 5), booked("b", 1, 7, 7), booked("a", 2, -2, 3)]);
    }
}
