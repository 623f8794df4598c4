//! The operators of plugins that a job names: found, and of the right kind.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::model::id::PluginDigest;
use crate::plan::descriptor::{OperatorInfo, OperatorKind};
use crate::plan::diagnostic::{Errors, did_you_mean, quoted};
use crate::plan::environment::Environment;
use crate::plan::graph::BROADCAST_INPUT;
use crate::plan::spec::{AggregateCall, OperatorKindSpec, PluginSpec};

use super::graph::{Kind, Vertex};

/// One operator of a component.
#[derive(Clone)]
pub struct Component {
    pub digest: PluginDigest,
    pub info: OperatorInfo,
}

/// For each vertex its component, or one for each aggregate of a window; `None` where it has none, or a wrong one.
pub type Components = Vec<Vec<Option<Component>>>;

type Described = HashMap<PathBuf, Option<(PluginDigest, Vec<OperatorInfo>)>>;

pub fn find_all(vertices: &[Vertex], env: &mut dyn Environment, errors: &Errors) -> Components {
    let mut described = Described::new();
    let mut find = |plugin, kind| find(plugin, kind, &mut described, env, errors);
    let mut components = Components::new();
    for vertex in vertices {
        components.push(match vertex.kind {
            Kind::Operator(spec) => match &spec.kind {
                OperatorKindSpec::Process(process) => vec![find(&process.plugin, OperatorKind::Process)],
                OperatorKindSpec::Window(window) => window
                    .aggregates
                    .iter()
                    .map(|aggregate| match &aggregate.call {
                        AggregateCall::Plugin(plugin) => find(plugin, OperatorKind::Aggregate),
                        AggregateCall::Native { .. } => None,
                    })
                    .collect(),
            },
            Kind::Source(_) | Kind::Sink(_) => Vec::new(),
        });
    }
    components
}

fn find(
    plugin: &PluginSpec,
    kind: OperatorKind,
    described: &mut Described,
    env: &mut dyn Environment,
    errors: &Errors,
) -> Option<Component> {
    let known = described.entry(plugin.path.value.clone()).or_insert_with(|| {
        let answer = env.describe(&plugin.path);
        answer.map_err(|message| errors.add(plugin.path.span, message)).ok()
    });
    let (digest, operators) = known.as_ref()?;
    let info = choose(plugin, kind, operators, errors)?;
    let inputs_max = match kind {
        OperatorKind::Process => 1 + BROADCAST_INPUT,
        OperatorKind::Aggregate => 1,
    };
    if info.inputs.is_empty() || info.inputs.len() > inputs_max {
        let message = format!("`{}` takes {} inputs; a job can give it {inputs_max}", info.name, info.inputs.len());
        errors.add(plugin.operator.as_ref().map_or(plugin.path.span, |name| name.span), message);
        return None;
    }
    Some(Component { digest: digest.clone(), info: info.clone() })
}

fn choose<'o>(
    plugin: &PluginSpec,
    kind: OperatorKind,
    operators: &'o [OperatorInfo],
    errors: &Errors,
) -> Option<&'o OperatorInfo> {
    let fitting = || operators.iter().filter(|info| info.kind == kind);
    let names = || fitting().map(|info| info.name.as_str());
    let word = word(kind);
    let file = plugin.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(name) = &plugin.operator else {
        let mut all = fitting();
        if let (Some(only), None) = (all.next(), all.next()) {
            return Some(only);
        }
        let message = match fitting().count() {
            0 => format!("`{file}` has no {word} operator"),
            _ => format!("`{file}` has several {word} operators: name one with `operator`"),
        };
        let help = format!("its {word} operators: {}", quoted(names()));
        errors.add_with_help(plugin.path.span, message, help);
        return None;
    };
    let help = format!("its {word} operators: {}", quoted(names()));
    match operators.iter().find(|info| info.name == name.value) {
        Some(info) if info.kind == kind => Some(info),
        Some(info) => {
            let message = format!(
                "`{}` is of the kind `{}`, and this must be of the kind `{word}`",
                info.name,
                self::word(info.kind)
            );
            errors.add_with_help(name.span, message, help);
            None
        }
        None => {
            let message = format!("`{file}` has no operator `{}`{}", name.value, did_you_mean(name, names()));
            errors.add_with_help(name.span, message, help);
            None
        }
    }
}

fn word(kind: OperatorKind) -> &'static str {
    match kind {
        OperatorKind::Process => "process",
        OperatorKind::Aggregate => "aggregate",
    }
}
