use super::{Event, Key};
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Limit {
    pub value: i64,
}

#[derive(Record, Debug, PartialEq)]
pub struct Judged<'a> {
    pub key: &'a str,
    pub value: i64,
    pub at: Timestamp,
    /// that held then
    pub limit: Option<i64>,
}

#[derive(Timers)]
pub struct Due;

/// Broadcast state beside that of keys: each value with the limit that held at its time, whenever limits arrive. Of
/// limits of one instant the largest holds. Refuses negative ones, after it has put them in, and traps for 666.
pub struct Judge {
    limits: BroadcastMap<Timestamp, i64>,
    /// until the watermark says that all limits of their time are there
    waiting: Map<Timestamp, Vec<i64>>,
}

impl Judge {
    fn wake(&self, cx: &mut Keyed<'_, Self>) {
        if let Some((first, _)) = self.waiting.first(cx, ..) {
            cx.wake_at(first, Due);
        }
    }
}

impl Process for Judge {
    const SUMMARY: &'static str = "each value with the limit of its time";
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Judged<'a>;
    type Timer = Due;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { limits: cx.broadcast_map("limits"), waiting: cx.map("waiting") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let time = cx.time();
        let mut values = self.waiting.get(cx, &time).unwrap_or_default();
        values.push(event.value);
        self.waiting.insert(cx, time, values);
        self.wake(cx);
        Ok(())
    }

    fn on_timer(&self, _: Due, cx: &mut Keyed<'_, Self>) -> Outcome {
        let watermark = cx.watermark();
        for (at, values) in self.waiting.range(cx, ..=watermark) {
            let limit = self.limits.range(cx, ..=at).last().map(|(_, limit)| limit);
            let key = cx.key().key;
            values.into_iter().for_each(|value| cx.emit_at(at, Judged { key, value, at, limit }));
            self.waiting.remove(cx, &at);
        }
        self.wake(cx);
        Ok(())
    }
}

impl Broadcast for Judge {
    type BroadcastIn<'a> = Limit;

    fn on_broadcast(&self, limit: Limit, cx: &mut BroadcastContext<'_, Self>) -> Outcome {
        let time = cx.time();
        let known = self.limits.get(cx, &time).unwrap_or(i64::MIN);
        self.limits.insert(cx, time, known.max(limit.value));
        assert!(limit.value != 666, "as it should");
        if limit.value < 0 { Err("it is negative".into()) } else { Ok(()) }
    }
}
