use super::{Event, Key};
use wasmill_sdk::prelude::*;

/// State that expires: lets through a value of a key that it has not had within an hour of event time.
pub struct FirstSeen {
    seen: Map<i64, bool>,
    last: Value<i64>,
}

impl Process for FirstSeen {
    const SUMMARY: &'static str = "values that a key has not had within an hour";
    const READS_TIMES: bool = false;
    type Key<'a> = Key<'a>;
    type In<'a> = Event;
    type Out<'a> = Keep;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        let seen = cx.state("seen").expires_after(hours(1), Clock::EventTime).map();
        Ok(Self { seen, last: cx.state("last").expires_after(hours(1), Clock::EventTime).value() })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let again = self.last.get(cx) == Some(event.value) || self.seen.contains(cx, &event.value);
        if !again {
            self.last.set(cx, event.value);
            self.seen.insert(cx, event.value, true);
            cx.emit(Keep);
        }
        Ok(())
    }
}
