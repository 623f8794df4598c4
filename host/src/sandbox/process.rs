//! A `process` operator as the data plane calls it.

use crate::dataplane::function::{
    BatchCall, CallFailure, DueCall, Groups, PortRows, ProcessFunction, Step, TimerName, TimerSetting,
};
use crate::dataplane::output_budget::OutputBudget;
use crate::dataplane::overlay::Overlay;
use crate::model::id::Uid;
use crate::model::schema::Schema;
use crate::model::time::Timestamp;
use crate::model::value::Values;
use crate::plan::descriptor::{Descriptor, OperatorKind};
use crate::plan::graph::{PluginLimits, PluginRef};

use super::bindings::exports::wasmill::operator::process;
use super::bindings::wasmill::operator::calls as wit;
use super::instance::Instances;
use super::store::Host;
use super::{lift, lower};

pub struct WasmProcess {
    instances: Instances<process::Guest>,
    shape: Shape,
}

/// What a step must look like.
struct Shape {
    outputs: Vec<Schema>,
    /// The number and the width of each value-like state.
    values: Vec<(u32, Option<usize>)>,
    timers: usize,
}

impl WasmProcess {
    pub fn new(node: &Uid, plugin: &PluginRef, descriptor: &Descriptor, limits: PluginLimits) -> Result<Self, String> {
        let instances = Instances::new(node, plugin, OperatorKind::Process, limits, |prepared, store, instance| {
            process::GuestIndices::new(&prepared.instance)?.load(store, instance)
        })?;
        let shape = Shape {
            outputs: descriptor.outputs.iter().map(|port| port.columns.clone()).collect(),
            values: (0..)
                .zip(&descriptor.states)
                .filter(|(_, state)| state.kind.is_value_like())
                .map(|(number, state)| (number, state.width()))
                .collect(),
            timers: descriptor.timers.len(),
        };
        Ok(Self { instances, shape })
    }
}

impl ProcessFunction for WasmProcess {
    fn on_batch(&mut self, batch: &BatchCall<'_>, state: &mut Overlay) -> Result<Step, CallFailure> {
        let columns = lower::at_offset_zero(batch.columns);
        let groups = LoweredGroups::new(&batch.groups);
        let shape = &self.shape;
        let argument = wit::Batch {
            input: batch.input as u32,
            rows: batch.rows as u32,
            times: batch.times,
            columns: &lower::columns(&columns),
            groups: batch.groups.count as u32,
            row_groups: batch.groups.of_rows,
            keys: &lower::columns(&groups.keys),
            states: &groups.states(&batch.groups, &shape.values),
            watermark: batch.watermark.0,
            processing_time: batch.processing_time.0,
        };
        let (rows, count) = (batch.rows, batch.groups.count);
        self.instances.call_with(
            state,
            |guest, store| guest.call_on_batch(store, argument),
            |step, host| shape.check(step, rows, count, host),
        )
    }

    fn on_timers(&mut self, due: &DueCall<'_>, state: &mut Overlay) -> Result<Step, CallFailure> {
        let groups = LoweredGroups::new(&due.groups);
        let shape = &self.shape;
        let argument = wit::Due {
            rows: due.timers.len() as u32,
            timers: due.timers,
            times: due.times,
            groups: due.groups.count as u32,
            row_groups: due.groups.of_rows,
            keys: &lower::columns(&groups.keys),
            states: &groups.states(&due.groups, &shape.values),
            watermark: due.watermark.0,
            processing_time: due.processing_time.0,
        };
        let (rows, count) = (due.timers.len(), due.groups.count);
        self.instances.call_with(
            state,
            |guest, store| guest.call_on_timers(store, argument),
            |step, host| shape.check(step, rows, count, host),
        )
    }

    fn forget(&mut self) {
        self.instances.forget();
    }
}

/// What the borrowed argument of a call needs to borrow from.
struct LoweredGroups {
    keys: Vec<arrow_array::ArrayRef>,
    presence: Vec<Option<Vec<u8>>>,
}

impl LoweredGroups {
    fn new(groups: &Groups<'_>) -> Self {
        let presence = groups.states.iter().map(lower::presence).collect();
        Self { keys: lower::at_offset_zero(groups.keys), presence }
    }

    fn states<'a>(&'a self, groups: &Groups<'a>, shapes: &[(u32, Option<usize>)]) -> Vec<wit::GroupStateParam<'a>> {
        let states = shapes.iter().zip(groups.states.iter().zip(&self.presence));
        let lowered = states.map(|((state, _), (values, presence))| wit::GroupStateParam {
            state: *state,
            values: lower::values(values, presence.as_ref()),
        });
        lowered.collect()
    }
}

impl Shape {
    fn check(&self, step: wit::Step, rows: usize, groups: usize, host: &mut Host) -> Result<Step, String> {
        let consumed = step.consumed as usize;
        if consumed > rows || consumed == 0 && rows > 0 {
            return Err(format!("it consumed {consumed} of {rows} rows"));
        }
        let mut budget = host.output_budget();
        let mut outputs: Vec<PortRows> = Vec::with_capacity(self.outputs.len());
        for output in step.outputs {
            let lifted = self.output(output, rows, &mut budget)?;
            if outputs.iter().any(|other| other.port == lifted.port) {
                return Err(format!("it emitted to port {} twice", lifted.port));
            }
            outputs.push(lifted);
        }
        let mut states = Vec::with_capacity(self.values.len());
        for state in step.states {
            let lifted = self.state(state, groups, &mut budget)?;
            if states.iter().any(|(index, _)| *index == lifted.0) {
                return Err(format!("it returned state {} twice", self.values[lifted.0].0));
            }
            states.push(lifted);
        }
        let mut seen = SeenTimers::new(groups, self.timers);
        let timers_set = self.timer_settings(step.timers_set, &mut seen)?;
        let timers_cancelled = self.timer_names(step.timers_cancelled, &mut seen)?;
        if let Some(rejection) = step.rejected.iter().find(|rejection| rejection.row as usize >= consumed) {
            return Err(format!("it rejected row {} and consumed {consumed}", rejection.row));
        }
        let rejected = step.rejected.into_iter().map(|rejection| (rejection.row, rejection.reason)).collect();
        let (counts, observations) = host.telemetry.take_metrics();
        Ok(Step { consumed, outputs, states, timers_set, timers_cancelled, rejected, counts, observations })
    }

    fn output(&self, output: wit::Output, input_rows: usize, budget: &mut OutputBudget) -> Result<PortRows, String> {
        let port = output.port as usize;
        let Some(schema) = self.outputs.get(port) else {
            return Err(format!("it emitted to port {port} of {}", self.outputs.len()));
        };
        let within = |reason: String| format!("output port {port}: {reason}");
        let rows = output.rows as usize;
        match &output.origins {
            None if rows > input_rows => return Err(within(format!("{rows} rows from {input_rows} without origins"))),
            Some(origins) if origins.len() != rows => {
                return Err(within(format!("{} origins for {rows} rows", origins.len())));
            }
            Some(origins) => {
                if let Some(origin) = origins.iter().find(|origin| **origin as usize >= input_rows) {
                    return Err(within(format!("the origin {origin} of {input_rows} rows")));
                }
            }
            None => {}
        }
        if let Some(times) = output.times.as_ref().filter(|times| times.len() != rows) {
            return Err(within(format!("{} times for {rows} rows", times.len())));
        }
        let columns = lift::columns(output.columns, schema, rows, budget).map_err(within)?;
        Ok(PortRows { port, rows, origins: output.origins, times: output.times, columns })
    }

    fn state(
        &self,
        state: wit::GroupStateResult,
        groups: usize,
        budget: &mut OutputBudget,
    ) -> Result<(usize, Values), String> {
        let number = state.state;
        let found = self.values.iter().position(|(value_like, _)| *value_like == number);
        let Some(index) = found else {
            return Err(format!(
                "it changed state {number}, which is none of the {} value-like ones",
                self.values.len()
            ));
        };
        let values = lift::values(state.values, self.values[index].1, groups, budget);
        Ok((index, values.map_err(|reason| format!("state {number}: {reason}"))?))
    }

    fn timer_settings(&self, timers: wit::TimerSettings, seen: &mut SeenTimers) -> Result<Vec<TimerSetting>, String> {
        let names = wit::TimerCancellations { groups: timers.groups, timers: timers.timers };
        let names = self.timer_names(names, seen)?;
        if names.len() != timers.times.len() {
            return Err(format!("it set {} timers to {} times", names.len(), timers.times.len()));
        }
        Ok(names.into_iter().zip(timers.times).map(|(name, at)| TimerSetting { name, at: Timestamp(at) }).collect())
    }

    fn timer_names(&self, timers: wit::TimerCancellations, seen: &mut SeenTimers) -> Result<Vec<TimerName>, String> {
        if timers.groups.len() != timers.timers.len() {
            return Err(format!("{} timers of {} groups", timers.timers.len(), timers.groups.len()));
        }
        let names = timers.groups.into_iter().zip(timers.timers).map(|(group, timer)| {
            if group as usize >= seen.groups {
                return Err(format!("a timer of group {group} of {}", seen.groups));
            }
            if timer as usize >= self.timers {
                return Err(format!("timer {timer} of {}", self.timers));
            }
            let name = TimerName { group, timer };
            if seen.insert(name) { Ok(name) } else { Err(format!("timer {timer} of group {group} twice")) }
        });
        names.collect()
    }
}

/// The timers that stand in a step: a bit for each name of each group, once there is one.
struct SeenTimers {
    groups: usize,
    timers: usize,
    bits: Vec<u64>,
}

impl SeenTimers {
    fn new(groups: usize, timers: usize) -> Self {
        Self { groups, timers, bits: Vec::new() }
    }

    /// Whether it has not stood there before.
    fn insert(&mut self, name: TimerName) -> bool {
        if self.bits.is_empty() {
            self.bits = vec![0; (self.groups * self.timers).div_ceil(64)];
        }
        let at = name.group as usize * self.timers + name.timer as usize;
        let bit = 1 << (at % 64);
        let is_new = self.bits[at / 64] & bit == 0;
        self.bits[at / 64] |= bit;
        is_new
    }
}
