//! The keys of a driven operator, with their states and timers: what the host would keep.

use super::state::{Current, Entries};
use crate::bindings::wasmill::operator::calls::{GroupState, Step};
use crate::bindings::wasmill::operator::columns::Column;
use crate::bindings::wasmill::operator::descriptors::{Clock, Descriptor, Refresh, StateInfo, StateKind};
use crate::encoded;
use crate::process::{Key, Process};
use crate::record::Builder;
use std::marker::PhantomData;

pub(super) struct Keys<P> {
    keys: Vec<KeyState>,
    /// broadcast state, by state
    broadcast: Vec<Entries>,
    states: Vec<StateInfo>,
    widths: Vec<Option<usize>>,
    timers: usize,
    of: PhantomData<fn() -> P>,
}

struct KeyState {
    /// its columns, of one row
    key: Vec<Column>,
    /// of value-like states
    values: Vec<Option<Value>>,
    /// of lists and maps
    entries: Vec<Entries>,
    timers: Vec<Option<i64>>,
}

#[derive(Clone)]
struct Value {
    bytes: Vec<u8>,
    /// in the clock of the state's time to live
    written: i64,
}

/// The clocks of a call: in event time a write's time is that of the key's latest row.
pub(super) struct Clocks<'c> {
    pub(super) row_times: &'c [i64],
    pub(super) row_groups: &'c [u32],
    pub(super) processing_time: i64,
}

/// The distinct keys of some rows, as a call has them.
pub(super) struct Groups {
    pub(super) members: Vec<usize>,
    pub(super) row_groups: Vec<u32>,
    pub(super) keys: Vec<Column>,
    pub(super) states: Vec<GroupState>,
}

pub(super) struct DueTimer {
    pub(super) time: i64,
    pub(super) key: usize,
    pub(super) timer: u32,
}

impl<P: Process> Keys<P> {
    pub(super) fn new(states: Vec<StateInfo>, widths: Vec<Option<usize>>, timers: usize) -> Self {
        let broadcast = states.iter().map(|_| Entries::new()).collect();
        Self { keys: Vec::new(), broadcast, states, widths, timers, of: PhantomData }
    }

    /// The number of a key.
    pub(super) fn number(&mut self, key: Vec<Column>) -> usize {
        if let Some(number) = self.keys.iter().position(|known| known.key == key) {
            return number;
        }
        self.keys.push(KeyState {
            key,
            values: vec![None; self.states.len()],
            entries: self.states.iter().map(|_| Entries::new()).collect(),
            timers: vec![None; self.timers],
        });
        self.keys.len() - 1
    }

    /// Groups rows by the numbers of their keys.
    pub(super) fn group(&self, rows: &[usize]) -> Groups {
        let mut members = Vec::new();
        let row_groups = rows.iter().map(|row| {
            let group = members.iter().position(|member| member == row).unwrap_or_else(|| {
                members.push(*row);
                members.len() - 1
            });
            group as u32
        });
        let row_groups = row_groups.collect();
        let mut builder = <P::Key<'_> as Key>::Builder::default();
        builder.reserve(members.len());
        for member in &members {
            self.write_key(*member, &mut builder);
        }
        let mut keys = Vec::new();
        builder.finish(&mut keys);
        let value_like = (0..self.states.len()).filter(|state| is_value_like(self.states[*state].kind));
        let states = value_like.map(|state| {
            let values = members.iter().map(|member| self.keys[*member].values[state].as_ref());
            let values = values.map(|value| value.map(|value| &*value.bytes));
            GroupState { state: state as u32, values: encoded::pack(values, self.widths[state]) }
        });
        let states = states.collect();
        Groups { members, row_groups, keys, states }
    }

    fn write_key<'k>(&'k self, member: usize, builder: &mut <P::Key<'static> as Key<'static>>::Builder) {
        let reader = <P::Key<'k> as Key<'k>>::reader(&self.keys[member].key);
        let key = <P::Key<'k> as Key<'k>>::read(&reader, 0);
        key.write(crate::process::same(builder));
    }

    /// Takes the timers that are due, in (time, key) order.
    pub(super) fn due(&mut self, descriptor: &Descriptor, clock: Clock, now: i64) -> Vec<DueTimer> {
        let mut due = Vec::new();
        for (key, state) in self.keys.iter_mut().enumerate() {
            for (timer, time) in state.timers.iter_mut().enumerate() {
                if descriptor.timers[timer].clock == clock
                    && let Some(time) = time.take_if(|time| *time <= now)
                {
                    due.push(DueTimer { time, key, timer: timer as u32 });
                }
            }
        }
        due.sort_by_key(|timer| (timer.time, timer.key, timer.timer));
        due
    }

    /// Lends the entries of a call's keys to it.
    pub(super) fn lend(&mut self, members: &[usize], clocks: &Clocks<'_>) -> Current {
        Current {
            states: self.states.clone(),
            widths: self.widths.clone(),
            entries: members.iter().map(|member| std::mem::take(&mut self.keys[*member].entries)).collect(),
            broadcast: std::mem::take(&mut self.broadcast),
            times: self.states.iter().map(|state| clocks.write_times(state, members.len())).collect(),
            touched: Vec::new(),
            reads: 0,
        }
    }

    /// Takes over what a call did to the states and timers of its keys.
    pub(super) fn apply(&mut self, step: &Step, members: &[usize], current: Current) {
        self.broadcast = current.broadcast;
        for (member, entries) in members.iter().zip(current.entries) {
            self.keys[*member].entries = entries;
        }
        for changed in &step.states {
            let state = changed.state as usize;
            for (group, member) in members.iter().enumerate() {
                let value = encoded::get(&changed.values, self.widths[state], group);
                let kept = &mut self.keys[*member].values[state];
                let is_new = value != kept.as_ref().map(|value| &*value.bytes);
                let written = kept.as_ref().filter(|_| !is_new).map_or(current.times[state][group], |v| v.written);
                *kept = value.map(|bytes| Value { bytes: bytes.to_vec(), written });
            }
        }
        for (state, times) in current.times.iter().enumerate() {
            let info = self.states[state].time_to_live;
            let by_reads = info.is_some_and(|time_to_live| time_to_live.refresh == Refresh::OnReadAndWrite);
            for (group, member) in members.iter().enumerate() {
                if let Some(value) = &mut self.keys[*member].values[state]
                    && (by_reads || current.touched.contains(&(state as u32, group as u32)))
                {
                    value.written = times[group];
                }
            }
        }
        let set = &step.timers_set;
        for ((group, timer), time) in set.groups.iter().zip(&set.timers).zip(&set.times) {
            self.keys[members[*group as usize]].timers[*timer as usize] = Some(*time);
        }
        let cancelled = &step.timers_cancelled;
        for (group, timer) in cancelled.groups.iter().zip(&cancelled.timers) {
            self.keys[members[*group as usize]].timers[*timer as usize] = None;
        }
    }

    /// Drops what has expired now.
    pub(super) fn expire(&mut self, clock: Clock, now: i64) {
        (0..self.keys.len()).for_each(|key| self.expire_key(key, clock, now));
    }

    pub(super) fn expire_key(&mut self, key: usize, clock: Clock, now: i64) {
        let key = &mut self.keys[key];
        for (state, info) in self.states.iter().enumerate() {
            if let Some(time_to_live) = info.time_to_live.filter(|time_to_live| time_to_live.clock == clock) {
                let lives = |written: i64| written.saturating_add_unsigned(time_to_live.micros) > now;
                key.values[state].take_if(|value| !lives(value.written));
                key.entries[state].retain(|_, entry| lives(entry.written));
            }
        }
    }

    pub(super) fn live(&self) -> usize {
        let live = |key: &&KeyState| {
            key.values.iter().any(Option::is_some)
                || key.entries.iter().any(|entries| !entries.is_empty())
                || key.timers.iter().any(Option::is_some)
        };
        self.keys.iter().filter(live).count()
    }
}

impl Clocks<'_> {
    /// What the time of a write is, for each group.
    fn write_times(&self, state: &StateInfo, groups: usize) -> Vec<i64> {
        match state.time_to_live.map(|time_to_live| time_to_live.clock) {
            Some(Clock::EventTime) => {
                let mut times = vec![i64::MIN; groups];
                for (group, time) in self.row_groups.iter().zip(self.row_times) {
                    times[*group as usize] = times[*group as usize].max(*time);
                }
                times
            }
            _ => vec![self.processing_time; groups],
        }
    }
}

fn is_value_like(kind: StateKind) -> bool {
    matches!(kind, StateKind::Value | StateKind::Reducing | StateKind::Aggregating)
}
