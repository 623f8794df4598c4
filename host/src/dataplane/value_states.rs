//! The value-like states of the keys of a call: as the operator sees them, and as the backend keeps them.

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::value::Values;
use crate::plan::descriptor::{StateInfo, TimeToLive};
use crate::state::KeyedState;
use crate::state::expiry::{STAMP_BYTES, stamp};

use super::call_times::CallTimes;

pub struct ValueStates {
    /// The number in the descriptor, and the time to live, of each.
    states: Vec<(usize, Option<TimeToLive>)>,
    values: Vec<Values>,
    /// With its time before each value that expires; empty when no state does.
    stored: Vec<Values>,
    scratch: Vec<u8>,
}

impl ValueStates {
    pub fn new(states: &[StateInfo]) -> Self {
        let value_like: Vec<(usize, &StateInfo)> =
            states.iter().enumerate().filter(|(_, state)| state.kind.is_value_like()).collect();
        let expires = value_like.iter().any(|(_, state)| state.time_to_live.is_some());
        let stored = value_like.iter().filter(|_| expires).map(|(_, state)| Values::new(state.stored_width()));
        Self {
            states: value_like.iter().map(|(number, state)| (*number, state.time_to_live)).collect(),
            values: value_like.iter().map(|(_, state)| Values::new(state.width())).collect(),
            stored: stored.collect(),
            scratch: Vec::new(),
        }
    }

    /// A column for each state, a row for each key.
    pub fn values(&self) -> &[Values] {
        &self.values
    }

    pub fn load(&mut self, backend: &mut dyn KeyedState, keys: &Keys, times: &CallTimes) -> Result<(), Fault> {
        self.values.iter_mut().chain(&mut self.stored).for_each(Values::clear);
        if self.values.is_empty() {
            return Ok(());
        }
        if self.stored.is_empty() {
            return backend.load(keys, &mut self.values);
        }
        backend.load(keys, &mut self.stored)?;
        for ((_, time_to_live), (values, stored)) in self.states.iter().zip(self.values.iter_mut().zip(&self.stored)) {
            let Some(time_to_live) = time_to_live else {
                values.clone_from(stored);
                continue;
            };
            for row in 0..keys.len() {
                let alive = stored.get(row).filter(|stored| stamp(stored) > times.expired_until(*time_to_live, row));
                values.push(alive.map(|stored| &stored[STAMP_BYTES..]));
            }
        }
        Ok(())
    }

    /// Takes over what a call changed, and gives the keys of the last `load` their values. `touched` are groups of
    /// states, by their number in the descriptor, that count as written.
    pub fn store(
        &mut self,
        backend: &mut dyn KeyedState,
        keys: &Keys,
        changed: Vec<(usize, Values)>,
        touched: &[(usize, u32)],
        times: &CallTimes,
    ) -> Result<(), Fault> {
        let by_reads = self.states.iter().any(|(_, time_to_live)| time_to_live.is_some_and(|it| it.refreshed_by_reads));
        if changed.is_empty() && touched.is_empty() && !by_reads {
            return Ok(());
        }
        if self.stored.is_empty() {
            changed.into_iter().for_each(|(state, values)| self.values[state] = values);
            return backend.store(keys, &self.values);
        }
        let mut new: Vec<Option<Values>> = self.values.iter().map(|_| None).collect();
        changed.into_iter().for_each(|(state, values)| new[state] = Some(values));
        for (state, new) in new.into_iter().enumerate() {
            self.stamp(state, new, touched, times);
        }
        backend.store(keys, &self.stored)
    }

    /// Makes the stored values of a state, with the time before each that it keeps or gets.
    fn stamp(&mut self, state: usize, new: Option<Values>, touched: &[(usize, u32)], times: &CallTimes) {
        let (number, time_to_live) = self.states[state];
        let Some(time_to_live) = time_to_live else {
            if let Some(new) = new {
                self.stored[state] = new;
            }
            return;
        };
        let before = &self.values[state];
        let after = new.as_ref().unwrap_or(before);
        let mut written = vec![time_to_live.refreshed_by_reads; after.len()];
        let touched = touched.iter().filter(|(state, _)| *state == number);
        touched.for_each(|(_, group)| written[*group as usize] = true);
        let mut stored = self.stored[state].new_alike();
        for (group, written) in written.into_iter().enumerate() {
            let Some(value) = after.get(group) else {
                stored.push(None);
                continue;
            };
            let kept = before.get(group).filter(|before| *before == value && !written);
            let time = kept.and_then(|_| self.stored[state].get(group)).map(stamp);
            let time = time.unwrap_or_else(|| times.written(time_to_live.clock, group));
            self.scratch.clear();
            self.scratch.extend_from_slice(&time.0.to_le_bytes());
            self.scratch.extend_from_slice(value);
            stored.push(Some(&self.scratch));
        }
        self.stored[state] = stored;
    }
}
