//! An operator with timers says what happens when they are due.
use wasmill_sdk::prelude::*;

#[derive(Record)]
struct Payment {
    cents: u64,
}
#[derive(Record)]
struct Account {
    cents: u64,
}

#[derive(Timers)]
enum Wake {
    Quiet,
}

struct Guard;

impl Process for Guard {
    type Key<'a> = Account;
    type In<'a> = Payment;
    type Out<'a> = Payment;
    type Timer = Wake;
    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }
    fn on_event(&self, _: Payment, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.wake_at(cx.time() + minutes(1), Wake::Quiet);
        Ok(())
    }
}
fn main() {
    wasmill_sdk::testing::Drive::<Guard>::new();
}
