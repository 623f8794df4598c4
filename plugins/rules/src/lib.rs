//! Blocks payments by rules that arrive on a second stream, which every slot gets whole.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Payment<'a> {
    pub shop: &'a str,
    pub cents: i64,
}

/// What a shop may be paid at most from now on; without a limit its rule is taken back.
#[derive(Record)]
pub struct Rule<'a> {
    pub shop: &'a str,
    pub limit: Option<i64>,
}

#[derive(Record, Debug, PartialEq)]
pub struct Blocked<'a> {
    pub shop: &'a str,
    pub cents: i64,
    pub limit: i64,
}

pub struct Rules {
    limits: BroadcastMap<String, i64>,
    blocked: Port<Blocked<'static>>,
}

impl Process for Rules {
    const SUMMARY: &'static str = "payments within the limits of their shops";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Payment<'a>;
    type Out<'a> = Keep;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { limits: cx.broadcast_map("limits"), blocked: cx.side_output("blocked") })
    }

    fn on_event(&self, Payment { shop, cents }: Payment<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        match self.limits.get(cx, &shop.to_owned()) {
            Some(limit) if cents > limit => cx.emit_to(&self.blocked, Blocked { shop, cents, limit }),
            _ => cx.emit(Keep),
        }
        Ok(())
    }
}

impl Broadcast for Rules {
    type BroadcastIn<'a> = Rule<'a>;

    fn on_broadcast(&self, rule: Rule<'_>, cx: &mut BroadcastContext<'_, Self>) -> Outcome {
        match rule.limit {
            Some(limit) => self.limits.insert(cx, rule.shop.to_owned(), limit),
            None => self.limits.remove(cx, &rule.shop.to_owned()),
        }
        Ok(())
    }
}

export!(broadcast: Rules);

#[cfg(test)]
mod tests;
