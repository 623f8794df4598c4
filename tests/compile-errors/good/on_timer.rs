//! What `no_on_timer.rs` should have been.
use wasmill_sdk::prelude::*;
use wasmill_sdk::testing::Drive;

#[derive(Record)]
struct Account {
    account: u64,
}
#[derive(Record)]
struct Alert {
    account: u64,
}
#[derive(Timers)]
struct Quiet;

struct Guard;

impl Process for Guard {
    type Key<'a> = Account;
    type In<'a> = Account;
    type Out<'a> = Alert;
    type Timer = Quiet;
    fn open(_: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self)
    }
    fn on_event(&self, _: Account, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.wake_at(cx.time() + minutes(30), Quiet);
        Ok(())
    }
    fn on_timer(&self, _: Quiet, cx: &mut Keyed<'_, Self>) -> Outcome {
        cx.emit(Alert { account: cx.key().account });
        Ok(())
    }
}

fn main() {
    let mut guard = Drive::<Guard>::new();
    guard.event(Timestamp(0), Account { account: 7 });
    guard.watermark(Timestamp(0) + hours(1));
    assert_eq!(guard.outputs().len(), 1);
}
