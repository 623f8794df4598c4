//! Every slot has the same broadcast state: only rows that go to all of them write it.
use wasmill_sdk::prelude::*;

#[derive(Record)]
struct Payment {
    cents: u64,
}
#[derive(Record)]
struct Rule {
    limit: u64,
}

struct Guard {
    limits: BroadcastMap<u64, u64>,
    spent: Value<u64>,
}

#[derive(Record)]
struct Account {
    account: u64,
}

impl Process for Guard {
    type Key<'a> = Account;
    type In<'a> = Payment;
    type Out<'a> = Keep;
    type Timer = NoTimers;
    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { limits: cx.broadcast_map("limits"), spent: cx.value("spent") })
    }
    fn on_event(&self, payment: Payment, cx: &mut Keyed<'_, Self>) -> Outcome {
        self.limits.insert(cx, payment.cents, 0);
        Ok(())
    }
}

impl Broadcast for Guard {
    type BroadcastIn<'a> = Rule;
    fn on_broadcast(&self, rule: Rule, cx: &mut BroadcastContext<'_, Self>) -> Outcome {
        self.spent.set(cx, rule.limit);
        Ok(())
    }
}

fn main() {}
