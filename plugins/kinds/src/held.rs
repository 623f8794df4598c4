use super::Event;
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct Released {
    pub value: i64,
}

/// A list of each slot, without a key: holds values back until there are ten.
pub struct Hold {
    held: List<i64>,
}

impl Process for Hold {
    const SUMMARY: &'static str = "values, ten at a time";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Event;
    type Out<'a> = Released;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { held: cx.split_list("held") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        self.held.push(cx, event.value);
        let mut held: Vec<i64> = self.held.iter(cx).collect();
        if held.len() >= 10 {
            let rest = held.split_off(10);
            held.into_iter().for_each(|value| cx.emit(Released { value }));
            self.held.replace(cx, rest);
        }
        if event.value < 0 { Err("it is negative".into()) } else { Ok(()) }
    }
}
