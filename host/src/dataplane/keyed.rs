//! The keys of an operator's calls: which distinct ones a batch has, their state, and their timers.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};

use crate::model::batch::{Batch, Provenance, take_rows};
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::{self, Keys};
use crate::model::key_group::KeyHash;
use crate::model::schema::{Field, Schema};
use crate::model::time::Timestamp;
use crate::model::value::Values;
use crate::plan::descriptor::{Clock, Descriptor};
use crate::plan::graph::PluginLimits;
use crate::state::KeyedState;
use crate::state::grouping::Grouping;
use crate::state::snapshot::Content;
use crate::state::timers::Timers;

use super::dead_letter::oversized_keys;
use super::function::{CallFailure, Groups, Step};
use super::snapshot::{MemberState, OperatorSnapshot};

pub struct Keyed {
    /// Columns of the input.
    columns: Vec<usize>,
    schema: Schema,
    state: Box<dyn KeyedState>,
    clocks: Vec<Clock>,
    event_timers: Timers,
    processing_timers: Timers,
    limits: PluginLimits,
    // What follows is of the current call, and reused.
    keys: Keys,
    grouping: Grouping,
    key_columns: Vec<ArrayRef>,
    states: Vec<Values>,
}

/// Due timers, a row each.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pub timers: Vec<u32>,
    pub times: Vec<i64>,
    keys: Vec<Arc<[u8]>>,
}

impl Due {
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    pub fn slice(&self, start: usize, rows: usize) -> Self {
        let range = start..start + rows;
        Self {
            timers: self.timers[range.clone()].to_vec(),
            times: self.times[range.clone()].to_vec(),
            keys: self.keys[range].to_vec(),
        }
    }
}

impl Keyed {
    /// `columns` are those of the key in the input's schema.
    pub fn new(
        columns: Vec<usize>,
        input: &Schema,
        state: Box<dyn KeyedState>,
        max_parallelism: u16,
        descriptor: &Descriptor,
        limits: PluginLimits,
    ) -> Self {
        let fields: Vec<Field> = columns.iter().map(|i| input.fields()[*i].clone()).collect();
        Self {
            columns,
            schema: Schema::new(fields),
            state,
            clocks: descriptor.timers.iter().map(|timer| timer.clock).collect(),
            event_timers: Timers::new(Content::EventTimers, max_parallelism),
            processing_timers: Timers::new(Content::ProcessingTimers, max_parallelism),
            limits,
            keys: Keys::default(),
            grouping: Grouping::default(),
            key_columns: Vec::new(),
            states: descriptor.states.iter().map(|state| Values::new(state.width())).collect(),
        }
    }

    /// Makes the keys of these rows the ones of the call, and loads their state.
    pub fn group(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), Fault> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|i| Arc::clone(&columns[*i])).collect();
        self.keys.encode(&columns, rows);
        self.grouping.group(&self.keys);
        self.key_columns = take_rows(&columns, &self.grouping.first_rows().to_vec().into());
        self.load()
    }

    /// The rows of the call whose keys are longer than the limit, and what to say of each.
    pub fn oversized(&self) -> Vec<(u32, String)> {
        oversized_keys(&self.keys, self.limits.key_bytes_max)
    }

    /// The same for the keys of due timers.
    pub fn group_due(&mut self, due: &Due) -> Result<(), Fault> {
        self.keys.clear();
        due.keys.iter().for_each(|key| self.keys.push(key, KeyHash::of(key)));
        self.grouping.group(&self.keys);
        self.key_columns = key::decode(self.grouping.distinct().iter(), self.schema.fields());
        self.load()
    }

    fn load(&mut self) -> Result<(), Fault> {
        self.states.iter_mut().for_each(Values::clear);
        if self.states.is_empty() {
            return Ok(());
        }
        self.state.load(self.grouping.distinct(), &mut self.states)
    }

    pub fn groups(&self) -> Groups<'_> {
        Groups {
            count: self.grouping.distinct().len(),
            of_rows: self.grouping.row_groups(),
            keys: &self.key_columns,
            states: &self.states,
        }
    }

    /// Of the keys of the call.
    pub fn state_bytes(&self) -> usize {
        self.states.iter().map(Values::data_bytes).sum()
    }

    /// Takes over the state and the timers of a step, all of them or, when a limit is broken, none.
    pub fn apply(&mut self, step: &mut Step) -> Result<Result<(), CallFailure>, Fault> {
        if let Err(failure) = self.check(step) {
            return Ok(Err(failure));
        }
        if !step.states.is_empty() {
            for (state, values) in step.states.drain(..) {
                self.states[state] = values;
            }
            self.state.store(self.grouping.distinct(), &self.states)?;
        }
        let distinct = self.grouping.distinct();
        for name in &step.timers_cancelled {
            let timers = match self.clocks[name.timer as usize] {
                Clock::EventTime => &mut self.event_timers,
                Clock::ProcessingTime => &mut self.processing_timers,
            };
            let group = name.group as usize;
            timers.cancel(distinct.get(group), distinct.hash(group), name.timer);
        }
        for setting in &step.timers_set {
            let timers = match self.clocks[setting.name.timer as usize] {
                Clock::EventTime => &mut self.event_timers,
                Clock::ProcessingTime => &mut self.processing_timers,
            };
            let group = setting.name.group as usize;
            timers.set(distinct.get(group), distinct.hash(group), setting.name.timer, setting.at);
        }
        Ok(Ok(()))
    }

    fn check(&self, step: &Step) -> Result<(), CallFailure> {
        let limit = self.limits.state_value_bytes_max;
        for (state, values) in &step.states {
            if let Some(long) = values.longest().filter(|bytes| *bytes > limit) {
                return Err(CallFailure::new(format!(
                    "a value of state {state} has {long} bytes; state_value_bytes_max is {limit}"
                )));
            }
        }
        let limit = self.limits.timers_per_key_max;
        if self.clocks.len() > limit && !step.timers_set.is_empty() {
            for setting in &step.timers_set {
                let group = setting.name.group as usize;
                let (key, hash) = (self.grouping.distinct().get(group), self.grouping.distinct().hash(group));
                if self.event_timers.count(key, hash) + self.processing_timers.count(key, hash) >= limit {
                    return Err(CallFailure::new(format!("a key has more timers than timers_per_key_max: {limit}")));
                }
            }
        }
        Ok(())
    }

    /// How many timers are set.
    pub fn timers(&self, clock: Clock) -> usize {
        match clock {
            Clock::EventTime => self.event_timers.len(),
            Clock::ProcessingTime => self.processing_timers.len(),
        }
    }

    /// The timers due at `until`, at most `rows_max` of them.
    pub fn take_due(&mut self, clock: Clock, until: Timestamp, rows_max: usize) -> Due {
        let timers = match clock {
            Clock::EventTime => &mut self.event_timers,
            Clock::ProcessingTime => &mut self.processing_timers,
        };
        let mut due = Due::default();
        for timer in timers.take_due(until, rows_max) {
            due.timers.push(timer.timer);
            due.times.push(timer.at.0);
            due.keys.push(timer.key);
        }
        due
    }

    #[cfg(test)]
    pub fn limit_keys(&mut self, bytes_max: usize) {
        self.limits.key_bytes_max = bytes_max;
    }

    /// How many keys have state.
    pub fn live_keys(&self) -> usize {
        self.state.live_keys()
    }

    /// State and timers as they are now.
    pub fn snapshot(&mut self, barrier: &Barrier) -> Result<OperatorSnapshot, Fault> {
        let mut frozen = vec![self.event_timers.snapshot(barrier), self.processing_timers.snapshot(barrier)];
        if !self.states.is_empty() {
            frozen.push(self.state.snapshot(barrier)?);
        }
        let is_incremental = barrier.base.is_some();
        Ok(OperatorSnapshot { frozen, is_incremental, ..OperatorSnapshot::default() })
    }

    /// Takes over the state and the timers of a checkpoint.
    pub fn restore(&mut self, state: &mut MemberState) -> Result<(), Fault> {
        if !self.states.is_empty() {
            self.state.restore(state.chunks.as_mut(), &state.states)?;
        }
        self.event_timers.restore(state.chunks.as_mut(), &state.timers)?;
        self.processing_timers.restore(state.chunks.as_mut(), &state.timers)
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        self.processing_timers.next()
    }

    /// The keys of due timers as rows.
    pub fn key_batch(&self, due: &Due) -> Result<Batch, Fault> {
        let columns = key::decode(due.keys.iter().map(|key| &**key), self.schema.fields());
        let options = RecordBatchOptions::new().with_row_count(Some(due.len()));
        let records = RecordBatch::try_new_with_options(Arc::clone(self.schema.arrow()), columns, &options)
            .map_err(|error| Fault::invalid(format!("a key does not fit its schema: {error}")))?;
        Ok(Batch::new(records, due.times.clone().into(), Provenance::default()))
    }
}
