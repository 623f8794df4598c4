//! Process operators: their needs, their key, and what they say when they are opened.

use std::collections::BTreeSet;

use crate::model::schema::{Field, Schema};
use crate::model::time::Micros;
use crate::plan::descriptor::{Clock, Descriptor, InputNeed, StateInfo};
use crate::plan::diagnostic::{Errors, Span, Spanned, all};
use crate::plan::environment::Environment;
use crate::plan::graph::{BROADCAST_INPUT, NodeKind, PluginRef, ProcessPlan};
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
    broadcast: Option<&Inputs>,
    env: &mut dyn Environment,
    ask: &mut Asking,
) -> Option<Draft> {
    let key = key(spec, component, inputs, ask);
    let mut met = needs_met(&component.info.inputs[0], "column", inputs, ask);
    if let Some((broadcast, need)) = broadcast_need(spec, component, broadcast, ask.errors)? {
        met &= needs_met(need, "broadcast column", broadcast, ask);
    }
    let key = key?;
    if !met {
        return None;
    }
    let both: Vec<&Inputs> = [inputs].into_iter().chain(broadcast).collect();
    let (plugin, descriptor) = open(&process.plugin, component, &both, env, ask)?;
    let mut good = true;
    for inputs in &both {
        good &= times_met(&descriptor, inputs, ask.errors);
    }
    if let (Some(_), Some(state)) = (&key, descriptor.states.iter().find(|state| state.kind.is_operator_state())) {
        let (name, state) = (&component.info.name, &state.name);
        let message = format!("`{name}` is keyed and declares `{state}` as operator state, which only others have");
        ask.errors.add(spec.uid.span, message);
        good = false;
    }
    let mut ports = ports(&process.plugin, &descriptor, inputs, ask.errors)?;
    let has_time = both.iter().all(|inputs| inputs.has_time());
    ports.iter_mut().for_each(|port| port.has_time = has_time);
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
    let mut needs = needs(component, &descriptor, 0, &inputs.schema);
    needs.add(key.iter().flatten().map(|i| inputs.schema.fields()[*i].name.clone()));
    if let Some((time, main)) = time.as_ref().zip(ports.first()) {
        let column = &main.schema.fields()[time.column].name;
        needs.add(main.inherits.get(column).cloned());
    }
    if let (Some(_), Some(main)) = (&time, ports.first_mut()) {
        main.has_time = true;
    }
    good.then(|| Draft {
        inputs: both.iter().flat_map(|inputs| inputs.drafts()).collect(),
        input_schema: inputs.schema.clone(),
        broadcast_needs: broadcast.map(|broadcast| {
            let schema = broadcast.schema.clone();
            let needs = self::needs(component, &descriptor, BROADCAST_INPUT, &schema);
            (schema, needs)
        }),
        kind: NodeKind::Process(ProcessPlan { plugin, descriptor, key, time }),
        ports,
        needs,
    })
}

/// What is broadcast, and what the operator needs of it; the outer `None` is a mistake.
fn broadcast_need<'c, 'i>(
    spec: &OperatorSpec,
    component: &'c Component,
    broadcast: Option<&'i Inputs<'i>>,
    errors: &Errors,
) -> Option<Option<(&'i Inputs<'i>, &'c InputNeed)>> {
    let (uid, name) = (&spec.uid, &component.info.name);
    match (broadcast, component.info.inputs.get(BROADCAST_INPUT)) {
        (None, None) => Some(None),
        (Some(broadcast), Some(need)) => Some(Some((broadcast, need))),
        (Some(broadcast), None) => {
            let message = format!("operator `{}` takes no `broadcast`: `{name}` has one input", uid.value);
            errors.add_with_help(broadcast.span(), message, "several `inputs` are one stream: write it there");
            None
        }
        (None, Some(need)) => {
            let message = format!("operator `{}` needs a `broadcast`: `{name}` has a broadcast input", uid.value);
            let columns =
                if need.columns.fields().is_empty() { "any columns".to_owned() } else { need.columns.to_string() };
            errors.add_with_help(uid.span, message, format!("write broadcast = [\"NAME\"], a stream of {columns}"));
            None
        }
    }
}

/// Whether the inputs have the columns that the operator declares; `noun` is what these are.
pub fn needs_met(need: &InputNeed, noun: &str, inputs: &Inputs, ask: &mut Asking) -> bool {
    let mut met = true;
    for need in need.columns.fields() {
        met &= inputs.need(noun, need, None, ask);
    }
    met
}

/// The columns that a plugin's operator needs of an input, as far as it is known.
pub fn needs(component: &Component, descriptor: &Descriptor, input: usize, schema: &Schema) -> Needs {
    let need = &component.info.inputs[input];
    if need.generic {
        // What it makes of a schema may depend on columns that it does not read.
        return Needs::All;
    }
    let mut needs = Needs::of(schema, descriptor.reads[input].iter().copied());
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
    inputs: &[&Inputs],
    env: &mut dyn Environment,
    ask: &Asking,
) -> Option<(PluginRef, Descriptor)> {
    let Component { digest, info } = component;
    let plugin = PluginRef {
        path: spec.path.value.clone(),
        digest: digest.clone(),
        operator: info.name.clone(),
        config: spec.config.clone(),
        inputs: inputs.iter().map(|inputs| inputs.schema.clone()).collect(),
    };
    match env.open(&plugin.path, &plugin.operator, &plugin.config, &plugin.inputs) {
        Ok(descriptor) => check_reads(spec, &descriptor, inputs, ask.errors).then_some((plugin, descriptor)),
        Err(message) => {
            let message = format!("`{}` refuses to open: {message}", info.name);
            let generic = inputs.iter().zip(&info.inputs).filter(|(_, need)| need.generic);
            match generic.flat_map(|(inputs, _)| inputs.inferred()).next() {
                Some(source) => {
                    let help = ask.sources.declare(source, "..", "..");
                    let help = help.replace("nothing says its type", "if it lacks a column");
                    ask.errors.add_with_help(spec.config_span, message, help);
                }
                None => ask.errors.add(spec.config_span, message),
            }
            None
        }
    }
}

fn check_reads(spec: &PluginSpec, descriptor: &Descriptor, inputs: &[&Inputs], errors: &Errors) -> bool {
    let has = |(reads, inputs): (&Vec<usize>, &&Inputs)| reads.iter().all(|i| *i < inputs.schema.fields().len());
    let good = descriptor.reads.len() == inputs.len() && descriptor.reads.iter().zip(inputs).all(has);
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
