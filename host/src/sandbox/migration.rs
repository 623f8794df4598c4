//! A plugin's `migrate`: values of a state, or accumulators, that an older version wrote, made into today's when a job
//! starts.

use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::schema::Field;
use crate::plan::descriptor::{OperatorKind, StateInfo};
use crate::plan::graph::{PluginLimits, PluginRef};
use crate::state::{Conversion, evolution};

use super::bindings::exports::wasmill::operator::plugin;
use super::instance::Instances;

pub struct Migration {
    instances: Instances<plugin::Guest>,
    node: Uid,
    state: String,
    from_version: u32,
    /// Of today.
    value: Field,
    value_bytes_max: usize,
}

impl Migration {
    /// Of this state, from a version of it.
    pub fn new(
        node: &Uid,
        plugin: &PluginRef,
        kind: OperatorKind,
        limits: PluginLimits,
        state: &StateInfo,
        from_version: u32,
    ) -> Result<Self, Fault> {
        let instances = Instances::new(node, plugin, kind, limits, |prepared, store, instance| {
            prepared.plugin.load(store, instance)
        });
        Ok(Self {
            instances: instances.map_err(|error| Fault::plugin(error).at(node))?,
            node: node.clone(),
            state: state.name.clone(),
            from_version,
            value: state.value.clone(),
            value_bytes_max: limits.state_value_bytes_max,
        })
    }
}

impl Conversion for Migration {
    fn convert(&mut self, value: &[u8]) -> Result<Vec<u8>, Fault> {
        let (field, limit) = (&self.value, self.value_bytes_max);
        let migrated = self.instances.call(
            |guest, store| guest.call_migrate(store, &self.state, self.from_version, value),
            |answer, _| {
                let migrated = answer?;
                if migrated.len() > limit {
                    return Err(format!("it made {} bytes; state_value_bytes_max is {limit}", migrated.len()));
                }
                evolution::check(field, &migrated)
                    .map_err(|why| format!("what it made is no {}: {why}", field.data_type))?;
                Ok(migrated)
            },
        );
        migrated.map_err(|failure| {
            let (state, version) = (&self.state, self.from_version);
            let (value, why) = (hex::encode(value), failure.reason);
            Fault::plugin(format!(
                "`migrate` of state `{state}` from version {version} failed for the value {value}: {why}"
            ))
            .at(&self.node)
        })
    }
}
