//! Who sets timers says what happens when they are due. The compiler finds it where the operator is used, so `main` does.
use wasmill_sdk::prelude::*;
use wasmill_sdk::testing::Drive;

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
#[derive(Timers)]
enum Wake {
    Quiet,
}

struct Guard;

impl Process for Guard {
    type Key<'a> = Account;
    type In<'a> = Payment;
    type Out<'a> = Alert;
    type Timer = Wake;
    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }
    fn on_event(&self, _: Payment, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.wake_at(cx.time() + minutes(30), Wake::Quiet);
        Ok(())
    }
}

fn main() {
    Drive::<Guard>::new().watermark(Timestamp(0));
}
