//! The keys of an operator's calls: which distinct ones a batch has, their state, and their timers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};

use crate::model::batch::{Batch, Provenance, take_rows};
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::{self, Keys};
use crate::model::key_group::KeyHash;
use crate::model::schema::{Field, Schema};
use crate::model::time::{Micros, Timestamp};
use crate::model::value::Values;
use crate::plan::descriptor::{Clock, Descriptor, StateInfo};
use crate::plan::graph::PluginLimits;
use crate::state::broadcast::BroadcastState;
use crate::state::grouping::Grouping;
use crate::state::snapshot::Content;
use crate::state::timers::Timers;
use crate::state::{KeyedState, StateLayout};

use super::call_times::expired;
use super::dead_letter::oversized_keys;
use super::function::{CallFailure, Groups, Step, TimerName, TimerSetting};
use super::overlay::Overlay;
use super::snapshot::{MemberState, OperatorSnapshot};
use super::value_states::ValueStates;

/// How often what has expired in processing time is looked for.
const SWEEP_INTERVAL: Micros = Micros(100_000);

pub struct Keyed {
    /// Columns of the input.
    columns: Vec<usize>,
    schema: Schema,
    infos: Vec<StateInfo>,
    /// The backend is its own, between calls.
    overlay: Overlay,
    clocks: Vec<Clock>,
    event_timers: Timers,
    processing_timers: Timers,
    limits: PluginLimits,
    /// When to look for what has expired in processing time; none = nothing does.
    sweep_at: Option<Timestamp>,
    // What follows is of the current call, and reused.
    keys: Keys,
    grouping: Grouping,
    key_columns: Vec<ArrayRef>,
    values: ValueStates,
}

/// How a backend keeps a state of an operator.
pub fn layout(state: &StateInfo) -> StateLayout {
    let expires = state.time_to_live.is_some();
    match state.kind.is_value_like() {
        true => StateLayout::Value { width: state.stored_width(), expires },
        false => StateLayout::Entries { expires },
    }
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
            overlay: Overlay::new(&descriptor.states, state, limits),
            clocks: descriptor.timers.iter().map(|timer| timer.clock).collect(),
            event_timers: Timers::new(Content::EventTimers, max_parallelism),
            processing_timers: Timers::new(Content::ProcessingTimers, max_parallelism),
            limits,
            sweep_at: expires(&descriptor.states, Clock::ProcessingTime).then_some(Timestamp(0)),
            keys: Keys::default(),
            grouping: Grouping::default(),
            key_columns: Vec::new(),
            values: ValueStates::new(&descriptor.states),
            infos: descriptor.states.clone(),
        }
    }

    pub fn with_broadcast(self, state: BroadcastState) -> Self {
        Self { overlay: self.overlay.with_broadcast(state), ..self }
    }

    /// Makes the call one for rows of the broadcast input: without keys.
    pub fn start_broadcast(&mut self) -> &mut Overlay {
        self.overlay.start_broadcast();
        &mut self.overlay
    }

    /// Makes the keys of these rows the ones of the call, and loads their state.
    pub fn group(&mut self, batch: &Batch, watermark: Timestamp, now: Timestamp) -> Result<(), Fault> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|i| Arc::clone(batch.column(*i))).collect();
        self.keys.encode_hashed(&columns, batch.rows(), batch.key_hashes());
        self.grouping.group(&self.keys);
        self.key_columns = take_rows(&columns, &self.grouping.first_rows().to_vec().into());
        self.overlay.times.start(watermark, now);
        if expires(&self.infos, Clock::EventTime) {
            let groups = self.grouping.distinct().len();
            self.overlay.times.set_row_times(groups, self.grouping.row_groups(), batch.times());
        }
        self.load()
    }

    /// The rows of the call whose keys are longer than the limit, and what to say of each.
    pub fn oversized(&self) -> Vec<(u32, String)> {
        oversized_keys(&self.keys, self.limits.key_bytes_max)
    }

    /// Like `group`, for the keys of due timers.
    pub fn group_due(&mut self, due: &Due, watermark: Timestamp, now: Timestamp) -> Result<(), Fault> {
        self.keys.clear();
        due.keys.iter().for_each(|key| self.keys.push(key, KeyHash::of(key)));
        self.grouping.group(&self.keys);
        self.key_columns = key::decode(self.grouping.distinct().iter(), self.schema.fields());
        self.overlay.times.start(watermark, now);
        let is_event_time = due.timers.first().is_some_and(|timer| self.clocks[*timer as usize] == Clock::EventTime);
        if is_event_time && expires(&self.infos, Clock::EventTime) {
            let groups = self.grouping.distinct().len();
            self.overlay.times.set_timer_times(groups, self.grouping.row_groups(), &due.times);
        }
        self.load()
    }

    fn load(&mut self) -> Result<(), Fault> {
        let distinct = self.grouping.distinct();
        self.overlay.start(distinct);
        let (backend, times) = self.overlay.backend_and_times();
        self.values.load(backend, distinct, times)
    }

    /// The groups of the call, and their lists and maps.
    pub fn call(&mut self) -> (Groups<'_>, &mut Overlay) {
        let groups = Groups {
            count: self.grouping.distinct().len(),
            of_rows: self.grouping.row_groups(),
            keys: &self.key_columns,
            states: self.values.values(),
        };
        (groups, &mut self.overlay)
    }

    /// Why the backend could not answer what the call has asked for: then nothing of the call counts.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.overlay.take_fault()
    }

    /// Of the keys of the call.
    pub fn state_bytes(&self) -> usize {
        self.values.values().iter().map(Values::data_bytes).sum()
    }

    /// Takes over the state and the timers of a step, all of them or, when a limit is broken, none.
    pub fn apply(&mut self, step: &mut Step) -> Result<Result<(), CallFailure>, Fault> {
        self.bring_timers(step)?;
        if let Err(failure) = self.check(step) {
            return Ok(Err(failure));
        }
        self.store(std::mem::take(&mut step.states))?;
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
        if let Some(store) = self.overlay.backend().timers() {
            self.event_timers.make_room(store)?;
            self.processing_timers.make_room(store)?;
        }
        Ok(Ok(()))
    }

    /// Brings the timers of the keys whose timers a step changes to memory.
    fn bring_timers(&mut self, step: &Step) -> Result<(), Fault> {
        let clocks = [&mut self.event_timers, &mut self.processing_timers];
        let mut stored = clocks.into_iter().filter(|timers| timers.has_stored()).peekable();
        let Some(store) = self.overlay.backend().timers().filter(|_| stored.peek().is_some()) else { return Ok(()) };
        let names = step.timers_set.iter().map(|setting| &setting.name).chain(&step.timers_cancelled);
        let mut groups: Vec<usize> = names.map(|name| name.group as usize).collect();
        groups.sort_unstable();
        groups.dedup();
        let distinct = self.grouping.distinct();
        stored.try_for_each(|timers| {
            timers.bring(groups.iter().map(|group| (distinct.get(*group), distinct.hash(*group))), store)
        })
    }

    /// Like `apply`, for a step over rows of the broadcast input, which changes no state but that of the slot.
    pub fn apply_broadcast(&mut self, step: &Step) -> Result<Result<(), CallFailure>, Fault> {
        if !step.states.is_empty() || !step.timers_set.is_empty() || !step.timers_cancelled.is_empty() {
            let failure = CallFailure::new("it changed the state or the timers of keys in a call that has none");
            return Ok(Err(failure));
        }
        let bytes = match self.overlay.check_broadcast()? {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Err(CallFailure::new(reason))),
        };
        self.overlay.apply()?;
        if let Some(broadcast) = self.overlay.broadcast() {
            broadcast.set_bytes(bytes);
        }
        Ok(Ok(()))
    }

    fn store(&mut self, changed: Vec<(usize, Values)>) -> Result<(), Fault> {
        let touched = self.overlay.touched();
        let (backend, times) = self.overlay.backend_and_times();
        self.values.store(backend, self.grouping.distinct(), changed, &touched, times)?;
        self.overlay.apply()
    }

    /// Frees some of what has expired by this clock.
    pub fn sweep(&mut self, clock: Clock, now: Timestamp) -> Result<(), Fault> {
        if !expires(&self.infos, clock) || clock == Clock::ProcessingTime && self.sweep_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.overlay.backend().sweep(&expired(&self.infos, clock, now))?;
        if clock == Clock::ProcessingTime {
            self.sweep_at = Some(now + SWEEP_INTERVAL);
        }
        Ok(())
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
        self.check_timers(step)
    }

    /// A key has no more timers after the step than it may: the names are counted that it sets and that were not set, less
    /// those that it cancels.
    fn check_timers(&self, step: &Step) -> Result<(), CallFailure> {
        let limit = self.limits.timers_per_key_max;
        if self.clocks.len() <= limit {
            return Ok(());
        }
        let mut more: BTreeMap<u32, usize> = BTreeMap::new();
        for TimerSetting { name, .. } in &step.timers_set {
            *more.entry(name.group).or_default() += usize::from(!self.is_timer_set(name));
        }
        for name in &step.timers_cancelled {
            // No name of a group is both set and cancelled.
            if let Some(more) = more.get_mut(&name.group).filter(|_| self.is_timer_set(name)) {
                *more = more.saturating_sub(1);
            }
        }
        let distinct = self.grouping.distinct();
        for (group, more) in more.into_iter().filter(|(_, more)| *more > 0) {
            let (key, hash) = (distinct.get(group as usize), distinct.hash(group as usize));
            let timers = self.event_timers.count(key, hash) + self.processing_timers.count(key, hash) + more;
            if timers > limit {
                return Err(CallFailure::new(format!("a key has {timers} timers; timers_per_key_max is {limit}")));
            }
        }
        Ok(())
    }

    fn is_timer_set(&self, name: &TimerName) -> bool {
        let timers = match self.clocks[name.timer as usize] {
            Clock::EventTime => &self.event_timers,
            Clock::ProcessingTime => &self.processing_timers,
        };
        let (distinct, group) = (self.grouping.distinct(), name.group as usize);
        timers.is_set(distinct.get(group), distinct.hash(group), name.timer)
    }

    /// How many timers are set.
    pub fn timers(&self, clock: Clock) -> usize {
        match clock {
            Clock::EventTime => self.event_timers.len(),
            Clock::ProcessingTime => self.processing_timers.len(),
        }
    }

    /// The timers due at `until`, at most `rows_max` of them.
    pub fn take_due(&mut self, clock: Clock, until: Timestamp, rows_max: usize) -> Result<Due, Fault> {
        let timers = match clock {
            Clock::EventTime => &mut self.event_timers,
            Clock::ProcessingTime => &mut self.processing_timers,
        };
        let mut due = Due::default();
        for timer in timers.take_due(until, rows_max, self.overlay.backend().timers())? {
            due.timers.push(timer.timer);
            due.times.push(timer.at.0);
            due.keys.push(timer.key);
        }
        Ok(due)
    }

    #[cfg(test)]
    pub fn limit_keys(&mut self, bytes_max: usize) {
        self.limits.key_bytes_max = bytes_max;
    }

    /// How many keys have state.
    pub fn live_keys(&mut self) -> usize {
        self.overlay.backend().live_keys()
    }

    /// State and timers as they are now.
    pub fn snapshot(&mut self, barrier: &Barrier) -> Result<OperatorSnapshot, Fault> {
        let mut frozen = vec![self.event_timers.snapshot(barrier), self.processing_timers.snapshot(barrier)];
        let are_timers_stored = self.event_timers.has_stored() || self.processing_timers.has_stored();
        if !self.infos.is_empty() || are_timers_stored {
            frozen.push(self.overlay.backend().snapshot(barrier)?);
        }
        if let Some(broadcast) = self.overlay.broadcast() {
            frozen.extend(broadcast.snapshot(barrier)?);
        }
        let is_incremental = barrier.base.is_some();
        Ok(OperatorSnapshot { frozen, is_incremental, ..OperatorSnapshot::default() })
    }

    /// Takes over the state and the timers of a checkpoint.
    pub fn restore(&mut self, state: &mut MemberState) -> Result<(), Fault> {
        let may_timers_be_stored = !self.clocks.is_empty() && !state.chunks.native().is_empty();
        if !self.infos.is_empty() || may_timers_be_stored {
            self.overlay.backend().restore(state.chunks.as_mut(), &mut state.states)?;
        }
        if let Some(broadcast) = self.overlay.broadcast() {
            broadcast.restore(state.chunks.as_mut(), &mut state.states)?;
        }
        let backend = self.overlay.backend();
        self.event_timers.restore(state.chunks.as_mut(), &state.timers, backend.timers())?;
        self.processing_timers.restore(state.chunks.as_mut(), &state.timers, backend.timers())
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        [self.processing_timers.next(), self.sweep_at].into_iter().flatten().min()
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

fn expires(states: &[StateInfo], clock: Clock) -> bool {
    states.iter().any(|state| state.time_to_live.is_some_and(|time_to_live| time_to_live.clock == clock))
}
