//! The clocks of a call, by which states expire.

use crate::model::time::Timestamp;
use crate::plan::descriptor::{Clock, StateInfo, TimeToLive};
use crate::state::expiry::Expired;

#[derive(Clone, Debug)]
pub struct CallTimes {
    pub watermark: Timestamp,
    pub processing_time: Timestamp,
    /// The latest event time of all calls.
    latest: Timestamp,
    /// For each group of a call with rows or event-time timers, the latest of their times.
    row_times: Vec<Timestamp>,
    /// For each group of a call with event-time timers, the first of their times.
    fired_at: Vec<Timestamp>,
}

impl Default for CallTimes {
    fn default() -> Self {
        Self {
            watermark: Timestamp::MIN,
            processing_time: Timestamp::MIN,
            latest: Timestamp::MIN,
            row_times: Vec::new(),
            fired_at: Vec::new(),
        }
    }
}

impl CallTimes {
    pub fn start(&mut self, watermark: Timestamp, processing_time: Timestamp) {
        (self.watermark, self.processing_time) = (watermark, processing_time);
        self.row_times.clear();
        self.fired_at.clear();
    }

    /// Takes the event times of the rows of the call.
    pub fn set_row_times(&mut self, groups: usize, row_groups: &[u32], times: &[i64]) {
        self.row_times.resize(groups, Timestamp::MIN);
        for (group, time) in row_groups.iter().zip(times) {
            let latest = &mut self.row_times[*group as usize];
            *latest = Timestamp(*time).max(*latest);
            self.latest = self.latest.max(*latest);
        }
    }

    /// Takes the times of the event-time timers of the call.
    pub fn set_timer_times(&mut self, groups: usize, row_groups: &[u32], times: &[i64]) {
        self.set_row_times(groups, row_groups, times);
        self.fired_at.resize(groups, Timestamp::MAX);
        for (group, time) in row_groups.iter().zip(times) {
            let first = &mut self.fired_at[*group as usize];
            *first = Timestamp(*time).min(*first);
        }
    }

    /// The time of what the call writes for a group: in event time the latest of its rows; without any, the latest of
    /// all rows so far.
    pub fn written(&self, clock: Clock, group: usize) -> Timestamp {
        match clock {
            Clock::EventTime => self.row_times.get(group).copied().unwrap_or(self.latest.max(self.watermark)),
            Clock::ProcessingTime => self.processing_time,
        }
    }

    /// What was written then or before has expired for a group. To an event-time timer it is the time for which it was
    /// set, however far the watermark has jumped.
    pub fn expired_until(&self, time_to_live: TimeToLive, group: usize) -> Timestamp {
        let now = match time_to_live.clock {
            Clock::EventTime => self.fired_at.get(group).copied().unwrap_or(self.watermark),
            Clock::ProcessingTime => self.processing_time,
        };
        now - time_to_live.length
    }
}

/// What of all states of an operator has expired by this clock.
pub fn expired(states: &[StateInfo], clock: Clock, now: Timestamp) -> Expired {
    let until = |state: &StateInfo| {
        let time_to_live = state.time_to_live.filter(|time_to_live| time_to_live.clock == clock);
        time_to_live.map(|time_to_live| now - time_to_live.length)
    };
    Expired {
        values: states.iter().filter(|state| state.kind.is_value_like()).map(until).collect(),
        entries: states.iter().map(until).collect(),
    }
}
