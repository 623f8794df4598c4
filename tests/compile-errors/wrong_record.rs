//! An operator emits what it says that it emits.
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

struct Guard;

impl Process for Guard {
    type Key<'a> = ();
    type In<'a> = Payment;
    type Out<'a> = Alert;
    type Timer = NoTimers;
    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }
    fn on_event(&self, payment: Payment, cx: &mut Context<'_, Self>) -> Outcome {
        cx.emit(payment);
        Ok(())
    }
}

fn main() {}
