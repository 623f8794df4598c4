//! What changes from row to row belongs in state.
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
    seen: u64,
}

impl Process for Guard {
    type Key<'a> = ();
    type In<'a> = Payment;
    type Out<'a> = Alert;
    type Timer = NoTimers;
    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { seen: 0 })
    }
    fn on_event(&self, _: Payment, _: &mut Context<'_, Self>) -> Outcome {
        self.seen += 1;
        Ok(())
    }
}

fn main() {}
