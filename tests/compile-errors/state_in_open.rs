//! There is no key yet when an operator is opened.
use wasmill_sdk::prelude::*;

#[derive(Record)]
struct Payment {
    cents: u64,
}
#[derive(Record)]
struct Account {
    account: u64,
}
#[derive(Record)]
struct Alert {
    cents: u64,
}

struct Guard {
    spent: Value<u64>,
}

impl Process for Guard {
    type Key<'a> = Account;
    type In<'a> = Payment;
    type Out<'a> = Alert;
    type Timer = NoTimers;
    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        let spent = cx.value("spent");
        spent.set(cx, 0);
        Ok(Self { spent })
    }
    fn on_event(&self, _: Payment, _: &mut Keyed<'_, Self>) -> Outcome {
        Ok(())
    }
}

fn main() {}
