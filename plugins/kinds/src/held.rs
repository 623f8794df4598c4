use std::collections::BTreeSet;

use super::Event;
use wasmill_sdk::prelude::*;

#[derive(Record, Debug, PartialEq)]
pub struct Released {
    pub value: i64,
}

/// A list that every slot has the whole of when the job goes on: lets through what no slot had let through by then, and this
/// one has not since.
pub struct Once {
    passed: List<i64>,
}

impl Process for Once {
    const SUMMARY: &'static str = "values that have not been let through";
    const READS_TIMES: bool = false;
    type Key<'a> = ();
    type In<'a> = Event;
    type Out<'a> = Keep;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self { passed: cx.union_list("passed") })
    }

    fn on_event(&self, event: Event, cx: &mut Keyed<'_, Self>) -> Outcome {
        let all: Vec<i64> = self.passed.iter(cx).collect();
        let known: BTreeSet<i64> = all.iter().copied().collect();
        if known.len() < all.len() {
            // Several slots had it: forgotten here, or there would be as many times as many after the next start.
            self.passed.replace(cx, known.iter().copied());
        }
        if !known.contains(&event.value) {
            self.passed.push(cx, event.value);
            cx.emit(Keep);
        }
        Ok(())
    }
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
