//! Process operators: their needs, their key, and what they say when they are opened.

use std::collections::BTreeSet;

use crate::model::schema::{Field, Schema};
use crate::model::time::Micros;
use crate::plan::descriptor::{Clock, Descriptor, StateInfo};
use crate::plan::diagnostic::{Errors, Span, Spanned, all};
use crate::plan::environment::Environment;
use crate::plan::graph::{NodeKind, PluginRef, ProcessPlan};
use crate::plan::spec::{OperatorSpec, PluginSpec, ProcessSpec};

use super::component::Component;
use super::draft::{Draft, Needs, Port};
use super::inputs::{Asking, Inputs};
use super::source::time_plan;

pub fn draft(
    spec: &OperatorSpec,
    process: &ProcessSpec,
    component: &Component,
    inputs: &Inputs,
    env: &mut dyn Environment,
    ask: &mut Asking,
) -> Option<Draft> {
    let key = key(spec, component, inputs, ask);
    let met = needs_met(component, inputs, ask);
    let key = key?;
    if !met {
        return None;
    }
    let (plugin, descriptor) = open(&process.plugin, component, inputs, env, ask)?;
    let mut good = times_met(&descriptor, inputs, ask.errors);
    if let (Some(_), Some(state)) = (&key, descriptor.states.iter().find(|state| state.kind.is_operator_state())) {
        let (name, state) = (&component.info.name, &state.name);
        let message = format!("`{name}` is keyed and declares `{state}` as operator state, which only others have");
        ask.errors.add(spec.uid.span, message);
        good = false;
    }
    let ports = ports(&process.plugin, &descriptor, inputs, ask.errors)?;
    let time = match (&process.time, ports.first()) {
        (None, _) => None,
        (Some(time), Some(main)) => {
            let time = time_plan(time, &spec.uid, &main.schema, Micros(0), ask.errors);
            good &= time.is_some();
            time
        }
        (Some(time), None) => {
            ask.errors.add(time.event_time.column.span, "the operator has no output whose times could be set");
            None
        }
    };
    let mut needs = needs(component, &descriptor, &inputs.schema);
    needs.add(key.iter().flatten().map(|i| inputs.schema.fields()[*i].name.clone()));
    if let Some((time, main)) = time.as_ref().zip(ports.first()) {
        let column = &main.schema.fields()[time.column].name;
        needs.add(main.inherits.get(column).cloned());
    }
    let mut ports = ports;
    if let (Some(_), Some(main)) = (&time, ports.first_mut()) {
        main.has_time = true;
    }
    good.then(|| Draft {
        inputs: inputs.drafts(),
        input_schema: inputs.schema.clone(),
        kind: NodeKind::Process(ProcessPlan { plugin, descriptor, key, time }),
        ports,
        needs,
    })
}

/// Whether the inputs have the columns that the operator declares.
pub fn needs_met(component: &Component, inputs: &Inputs, ask: &mut Asking) -> bool {
    let mut met = true;
    for need in component.info.inputs[0].columns.fields() {
        met &= inputs.need("column", need, None, ask);
    }
    met
}

/// The columns that a plugin's operator needs, as far as it is known.
pub fn needs(component: &Component, descriptor: &Descriptor, schema: &Schema) -> Needs {
    let need = &component.info.inputs[0];
    if need.generic {
        // What it makes of a schema may depend on columns that it does not read.
        return Needs::All;
    }
    let mut needs = Needs::of(schema, descriptor.reads.iter().flatten().copied());
    needs.add(need.columns.fields().iter().map(|field| field.name.clone()));
    needs
}

/// The outer `None` is a mistake.
fn key(spec: &OperatorSpec, component: &Component, inputs: &Inputs, ask: &mut Asking) -> Option<Option<Vec<usize>>> {
    let info = &component.info;
    let help = format!(
        "its key by position: {}",
        if info.key.fields().is_empty() { "any".to_owned() } else { info.key.to_string() }
    );
    let Some(key_by) = &spec.key_by else {
        if info.keyed {
            let message = format!("operator `{}` needs a `key_by`: `{}` is keyed", spec.uid.value, info.name);
            ask.errors.add_with_help(spec.uid.span, message, help);
            return None;
        }
        return Some(None);
    };
    if !info.keyed {
        let message = format!("operator `{}` takes no `key_by`: `{}` is not keyed", spec.uid.value, info.name);
        ask.errors.add(key_by.span, message);
        return None;
    }
    let declared = info.key.fields();
    if !declared.is_empty() && declared.len() != key_by.len() {
        let message = format!("`{}` has a key of {} columns, and here are {}", info.name, declared.len(), key_by.len());
        ask.errors.add_with_help(key_by.span, message, help);
        return None;
    }
    let mut met = true;
    for (name, part) in key_by.iter().zip(declared) {
        let need = Field { name: name.value.clone(), ..part.clone() };
        met &= inputs.need("key column", &need, Some(name.span), ask);
    }
    if !met {
        return None;
    }
    key_columns(key_by, inputs, ask).map(Some)
}

/// The indices of the columns of a `key_by`.
pub fn key_columns(key_by: &[Spanned<String>], inputs: &Inputs, ask: &Asking) -> Option<Vec<usize>> {
    all(key_by.iter().map(|name| {
        let index = inputs.column(name, "key", "text", ask)?;
        let field = &inputs.schema.fields()[index];
        if !field.data_type.is_key() {
            ask.errors.add(name.span, format!("`{field}` cannot be a key: lists and structs have no key encoding"));
            return None;
        }
        Some(index)
    }))
}

pub fn open(
    spec: &PluginSpec,
    component: &Component,
    inputs: &Inputs,
    env: &mut dyn Environment,
    ask: &Asking,
) -> Option<(PluginRef, Descriptor)> {
    let Component { digest, info } = component;
    let plugin = PluginRef {
        path: spec.path.value.clone(),
        digest: digest.clone(),
        operator: info.name.clone(),
        config: spec.config.clone(),
        inputs: vec![inputs.schema.clone()],
    };
    match env.open(&plugin.path, &plugin.operator, &plugin.config, &plugin.inputs) {
        Ok(descriptor) => check_reads(spec, &descriptor, inputs, ask.errors).then_some((plugin, descriptor)),
        Err(message) => {
            let message = format!("`{}` refuses to open: {message}", info.name);
            match inputs.inferred().first() {
                Some(source) if info.inputs[0].generic => {
                    let help = ask.sources.declare(*source, "..", "..");
                    let help = help.replace("nothing says its type", "if it lacks a column");
                    ask.errors.add_with_help(spec.config_span, message, help);
                }
                _ => ask.errors.add(spec.config_span, message),
            }
            None
        }
    }
}

fn check_reads(spec: &PluginSpec, descriptor: &Descriptor, inputs: &Inputs, errors: &Errors) -> bool {
    let columns = inputs.schema.fields().len();
    let good = descriptor.reads.len() <= 1 && descriptor.reads.iter().flatten().all(|column| *column < columns);
    if !good {
        errors.add(spec.path.span, "the plugin wants to read columns that its input does not have");
    }
    good
}

fn times_met(descriptor: &Descriptor, inputs: &Inputs, errors: &Errors) -> bool {
    if descriptor.timers.iter().any(|timer| timer.clock == Clock::EventTime) {
        return inputs.require_time("has event-time timers", errors);
    }
    let expires = |state: &StateInfo| state.time_to_live.is_some_and(|it| it.clock == Clock::EventTime);
    if descriptor.states.iter().any(expires) {
        return inputs.require_time("has state that expires in event time", errors);
    }
    !descriptor.reads_times || inputs.require_time("reads event times", errors)
}

fn ports(spec: &PluginSpec, descriptor: &Descriptor, inputs: &Inputs, errors: &Errors) -> Option<Vec<Port>> {
    let span = spec.operator.as_ref().map_or(spec.path.span, |name| name.span);
    let mut ports: Vec<Port> = Vec::new();
    for (i, output) in descriptor.outputs.iter().enumerate() {
        let name = if i == 0 { "main" } else { output.name.as_str() };
        if ports.iter().any(|port| port.name == name) {
            errors.add(span, format!("the operator has two outputs `{name}`"));
            return None;
        }
        unique_columns(&output.columns, name, span, errors)?;
        let written = |name: &str| output.columns.field(name).is_some();
        let names = inputs.schema.fields().iter().map(|field| field.name.clone());
        ports.push(Port {
            name: name.to_owned(),
            schema: descriptor.output_schema(i, &inputs.schema),
            has_time: inputs.has_time(),
            inherits: if output.extends { names.filter(|name| !written(name)).collect() } else { BTreeSet::new() },
            inferred: if output.extends { inputs.inferred() } else { BTreeSet::new() },
        });
    }
    Some(ports)
}

pub fn unique_columns(schema: &Schema, port: &str, span: Span, errors: &Errors) -> Option<()> {
    let fields = schema.fields();
    let twice = (0..fields.len()).find(|i| fields[..*i].iter().any(|field| field.name == fields[*i].name));
    if let Some(twice) = twice {
        errors.add(span, format!("the output `{port}` has two columns `{}`", fields[twice].name));
        return None;
    }
    Some(())
}
