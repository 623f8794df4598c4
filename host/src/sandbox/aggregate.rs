//! An `aggregate` operator as the data plane calls it.

use arrow_array::ArrayRef;

use crate::dataplane::function::{AggregateFunction, CallFailure};
use crate::model::id::Uid;
use crate::model::schema::Schema;
use crate::model::value::Values;
use crate::plan::descriptor::{Descriptor, OperatorKind};
use crate::plan::graph::{PluginLimits, PluginRef};

use super::bindings::exports::wasmill::operator::aggregate;
use super::instance::Instances;
use super::{lift, lower};

pub struct WasmAggregate {
    instances: Instances<aggregate::Guest>,
    width: Option<usize>,
    accumulator_bytes_max: usize,
    output: Schema,
}

impl WasmAggregate {
    /// The descriptor must be an aggregate's: one state, its accumulator.
    pub fn new(node: &Uid, plugin: &PluginRef, descriptor: &Descriptor, limits: PluginLimits) -> Result<Self, String> {
        let [accumulator] = &descriptor.states[..] else {
            return Err(format!("an aggregate has one accumulator, not {}", descriptor.states.len()));
        };
        let instances = Instances::new(node, plugin, OperatorKind::Aggregate, limits, |prepared, store, instance| {
            aggregate::GuestIndices::new(&prepared.instance)?.load(store, instance)
        })?;
        Ok(Self {
            instances,
            width: accumulator.width(),
            accumulator_bytes_max: limits.state_value_bytes_max,
            output: descriptor.outputs[0].columns.clone(),
        })
    }
}

impl AggregateFunction for WasmAggregate {
    fn add(
        &mut self,
        accumulators: &Values,
        groups: &[u32],
        times: &[i64],
        columns: &[ArrayRef],
    ) -> Result<Values, CallFailure> {
        let columns = lower::at_offset_zero(columns);
        let (columns, presence) = (lower::columns(&columns), lower::presence(accumulators));
        let argument = lower::values(accumulators, presence.as_ref());
        let (width, bytes_max, count) = (self.width, self.accumulator_bytes_max, accumulators.len());
        self.instances.call(
            |guest, store| guest.call_add(store, argument, groups, times, &columns),
            |answer, host| checked(lift::values(answer, width, count, &mut host.output_budget())?, bytes_max),
        )
    }

    fn merge(&mut self, accumulators: &Values, results: &[u32], size: usize) -> Result<Values, CallFailure> {
        let presence = lower::presence(accumulators);
        let argument = lower::values(accumulators, presence.as_ref());
        let (width, bytes_max) = (self.width, self.accumulator_bytes_max);
        self.instances.call(
            |guest, store| guest.call_merge(store, argument, results, size as u32),
            |answer, host| checked(lift::values(answer, width, size, &mut host.output_budget())?, bytes_max),
        )
    }

    fn finish(&mut self, accumulators: &Values, starts: &[i64], ends: &[i64]) -> Result<Vec<ArrayRef>, CallFailure> {
        let presence = lower::presence(accumulators);
        let argument = lower::values(accumulators, presence.as_ref());
        let (output, count) = (&self.output, accumulators.len());
        self.instances.call(
            |guest, store| guest.call_finish(store, argument, starts, ends),
            |answer, host| lift::columns(answer, output, count, &mut host.output_budget()),
        )
    }
}

fn checked(accumulators: Values, bytes_max: usize) -> Result<Values, String> {
    match accumulators.longest().filter(|bytes| *bytes > bytes_max) {
        Some(long) => Err(format!("an accumulator has {long} bytes; state_value_bytes_max is {bytes_max}")),
        None => Ok(accumulators),
    }
}
