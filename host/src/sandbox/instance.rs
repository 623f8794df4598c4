//! A running instance, and a fresh one in its place when it has trapped.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::dataplane::function::CallFailure;
use crate::dataplane::overlay::Overlay;
use crate::model::id::Uid;
use crate::model::schema::Schema;
use crate::plan::descriptor::{Descriptor, OperatorKind};
use crate::plan::graph::{PluginLimits, PluginRef};

use super::bindings::wasmill::operator::schemas::SchemaParam;
use super::component::{Plugin, Prepared};
use super::describe::{lift_descriptor, lower_schema};
use super::store::{self, Host};

/// One operator of a plugin in one slot. `G` are the handles of its exported functions.
pub struct Instances<G> {
    node: Uid,
    plugin: PluginRef,
    limits: PluginLimits,
    prepared: Prepared,
    load: fn(&Prepared, &mut Store<Host>, &Instance) -> wasmtime::Result<G>,
    live: Option<(Store<Host>, G)>,
}

impl<G> Instances<G> {
    pub fn new(
        node: &Uid,
        plugin: &PluginRef,
        kind: OperatorKind,
        limits: PluginLimits,
        load: fn(&Prepared, &mut Store<Host>, &Instance) -> wasmtime::Result<G>,
    ) -> Result<Self, String> {
        let loaded = Plugin::load(&plugin.path, limits.trusted)?;
        if loaded.digest != plugin.digest {
            return Err(format!("{} has changed since the job was planned: start it again", plugin.path.display()));
        }
        let prepared = loaded.prepare(kind)?;
        Ok(Self { node: node.clone(), plugin: plugin.clone(), limits, prepared, load, live: None })
    }

    /// One call, which may reach `state` while it runs. A trap, a broken limit or an answer that `check` refuses costs the
    /// instance, and nothing else.
    pub fn call_with<R, T>(
        &mut self,
        state: &mut Overlay,
        call: impl FnOnce(&G, &mut Store<Host>) -> wasmtime::Result<R>,
        check: impl FnOnce(R, &mut Host) -> Result<T, String>,
    ) -> Result<T, CallFailure> {
        let (mut store, guest) = match self.live.take() {
            Some(live) => live,
            None => self.start().map_err(CallFailure::new)?,
        };
        store.data_mut().begin();
        store.data_mut().state = std::mem::take(state);
        let answer = call(&guest, &mut store).map_err(|error| failure(&error, store.data_mut(), self.limits));
        *state = std::mem::take(&mut store.data_mut().state);
        let checked = answer.and_then(|answer| check(answer, store.data_mut()));
        let checked = checked.map_err(CallFailure::new)?;
        store.data_mut().telemetry.commit();
        self.live = Some((store, guest));
        Ok(checked)
    }

    /// The same without state.
    pub fn call<R, T>(
        &mut self,
        call: impl FnOnce(&G, &mut Store<Host>) -> wasmtime::Result<R>,
        check: impl FnOnce(R, &mut Host) -> Result<T, String>,
    ) -> Result<T, CallFailure> {
        self.call_with(&mut Overlay::default(), call, check)
    }

    /// The next call is to a fresh instance.
    pub fn forget(&mut self) {
        self.live = None;
    }

    fn start(&self) -> Result<(Store<Host>, G), String> {
        let (mut store, instance, _) = open(&self.prepared, &self.node, &self.plugin, self.limits)?;
        let guest = (self.load)(&self.prepared, &mut store, &instance).map_err(|error| format!("{error:#}"))?;
        Ok((store, guest))
    }
}

/// Opens an operator on its input schemas, to learn its descriptor.
pub fn open_descriptor(
    plugin: &Arc<Plugin>,
    kind: OperatorKind,
    node: &Uid,
    reference: &PluginRef,
    limits: PluginLimits,
) -> Result<Descriptor, String> {
    let prepared = plugin.prepare(kind)?;
    open(&prepared, node, reference, limits).map(|(.., descriptor)| descriptor)
}

fn open(
    prepared: &Prepared,
    node: &Uid,
    plugin: &PluginRef,
    limits: PluginLimits,
) -> Result<(Store<Host>, Instance, Descriptor), String> {
    let opened = || -> wasmtime::Result<_> {
        let mut store = store::new(node, limits)?;
        let instance = prepared.instance.instantiate(&mut store)?;
        let guest = prepared.plugin.load(&mut store, &instance)?;
        let fields: Vec<_> = plugin.inputs.iter().map(|schema: &Schema| lower_schema(schema)).collect();
        let inputs: Vec<_> = fields.iter().map(|fields| SchemaParam { fields }).collect();
        let descriptor = guest.call_open(&mut store, &plugin.operator, &plugin.config, &inputs)?;
        Ok((store, instance, descriptor))
    };
    let (store, instance, descriptor) = opened().map_err(|error| format!("`open` failed: {error:#}"))?;
    let descriptor = lift_descriptor(descriptor?, &plugin.inputs)
        .map_err(|error| format!("its descriptor is not in order: {error}"))?;
    Ok((store, instance, descriptor))
}

/// What happened, in words for the plugin's author; the trap's backtrace names the functions.
fn failure(error: &wasmtime::Error, host: &mut Host, limits: PluginLimits) -> String {
    if let Some(limit) = host.take_broken() {
        return limit;
    }
    let text = format!("{error:#}");
    if text.contains("fuel allocated for hostcalls") {
        return format!("a call returned more than output_bytes_max: {}", limits.output_bytes_max);
    }
    format!("it trapped: {text}")
}
