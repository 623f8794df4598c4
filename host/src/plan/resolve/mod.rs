//! A job's names and schemas resolved: `JobSpec` to `Plan`. Every mistake that can be found is reported, not only the
//! first; a node whose input is wrong is not complained about.

mod component;
mod draft;
mod fixed;
mod graph;
mod infer;
mod inputs;
mod pass;
mod place;
mod process;
mod prune;
mod sink;
mod source;
mod transactions;
mod window;

use std::collections::BTreeMap;

use crate::model::id::{Parallelism, Uid};

use super::diagnostic::{Errors, all};
use super::environment::Environment;
use super::graph::{Node, NodeKind, Output, Plan};
use super::spec::JobSpec;

use draft::Draft;
use graph::{Kind, Vertex};
use infer::Inferred;
use pass::Pass;
use place::Place;

/// `cores` is the parallelism of a job that names none. `None` only when there are errors.
pub fn resolve(job: &JobSpec, cores: Parallelism, env: &mut dyn Environment, errors: &Errors) -> Option<Plan> {
    let checkpoints = transactions::checkpoints(job, errors);
    let vertices = graph::build(job, errors)?;
    let default = place::default_parallelism(job, cores);
    let sources: Vec<Option<Place>> = vertices
        .iter()
        .map(|vertex| match vertex.kind {
            Kind::Source(spec) => place::source(spec, default, env, errors),
            Kind::Operator(_) | Kind::Sink(_) => None,
        })
        .collect();
    let drafts = drafts(&vertices, env, errors)?;
    let mut places: Vec<Option<Place>> = Vec::new();
    for ((vertex, draft), source) in vertices.iter().zip(&drafts).zip(sources) {
        let place = match vertex.kind {
            Kind::Source(_) => source,
            Kind::Operator(_) | Kind::Sink(_) => place::reader(vertex, draft, &places, default, errors),
        };
        places.push(place);
    }
    let places = all(places)?;
    let inputs: Vec<_> = (0..drafts.len()).map(|i| place::inputs(i, &vertices, &drafts, &places, errors)).collect();
    if !errors.is_empty() {
        return None;
    }
    let nodes = drafts.into_iter().zip(inputs).enumerate().map(|(i, (draft, inputs))| Node {
        uid: Uid::from(vertices[i].uid.as_str()),
        parallelism: places[i].parallelism,
        inputs,
        input_schema: draft.input_schema,
        kind: running(draft.kind, &vertices[i], default),
        outputs: draft.ports.into_iter().map(|port| Output { name: port.name, schema: port.schema }).collect(),
    });
    Some(Plan {
        name: job.name.value.clone(),
        slots: places.iter().map(|place| place.parallelism).max().unwrap_or(Parallelism::ONE),
        max_parallelism: job.max_parallelism,
        nodes: nodes.collect(),
        dead_letters: job.dead_letters.clone(),
        checkpoints,
        restart: job.restart,
        state: job.state.clone(),
        limits: job.limits,
    })
}

fn running(mut kind: NodeKind, vertex: &Vertex, default: Parallelism) -> NodeKind {
    if let (NodeKind::Source(plan), Kind::Source(spec)) = (&mut kind, vertex.kind) {
        plan.connector = place::connector(spec, default);
    }
    kind
}

/// Every node with its schemas, after what readers wish of inferred sources and without what nobody needs.
fn drafts(vertices: &[Vertex], env: &mut dyn Environment, errors: &Errors) -> Option<Vec<Draft>> {
    let components = component::find_all(vertices, env, errors);
    let mut inferred = Inferred::new(vertices);
    let nothing = BTreeMap::new();
    let full: Vec<Draft> = loop {
        let attempt = Errors::default();
        let pass = Pass { vertices, components: &components, inferred: &inferred, pruned: &nothing };
        let passed = pass.run(env, &attempt);
        let mut changed = false;
        for wish in passed.wishes {
            changed |= inferred.take(wish);
        }
        // Each round adds a column or forbids its nulls, so this ends.
        if !changed {
            attempt.into_list().into_iter().for_each(|error| errors.push(error));
            if errors.is_empty() {
                inferred.report_empty(vertices, errors);
            }
            break passed.drafts.into_iter().collect::<Option<_>>()?;
        }
    };
    if !errors.is_empty() {
        return None;
    }
    let pruned = prune::pruned(vertices, &full);
    let pass = Pass { vertices, components: &components, inferred: &inferred, pruned: &pruned };
    pass.run(env, errors).drafts.into_iter().collect()
}
