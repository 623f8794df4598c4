//! One walk from the sources to the sinks that gives every node its schemas.

use std::collections::BTreeMap;

use crate::model::schema::Schema;
use crate::plan::diagnostic::Errors;
use crate::plan::environment::Environment;
use crate::plan::spec::OperatorKindSpec;

use super::component::Components;
use super::draft::Draft;
use super::graph::{Kind, Vertex};
use super::infer::{Inferred, Wish, own_schema};
use super::inputs::{Asking, Inputs};
use super::{process, sink, source, window};

pub struct Pass<'a> {
    pub vertices: &'a [Vertex<'a>],
    pub components: &'a Components,
    pub inferred: &'a Inferred,
    /// By vertex; instead of what a source has of its own.
    pub pruned: &'a BTreeMap<usize, Schema>,
}

pub struct Passed {
    /// `None` where something is wrong, or missing so far.
    pub drafts: Vec<Option<Draft>>,
    pub wishes: Vec<Wish>,
}

impl Pass<'_> {
    pub fn run(&self, env: &mut dyn Environment, errors: &Errors) -> Passed {
        let mut drafts: Vec<Option<Draft>> = Vec::new();
        let mut wishes = Vec::new();
        for i in 0..self.vertices.len() {
            let mut ask = Asking { errors, wishes: &mut wishes, sources: self.inferred };
            let draft = self.draft(i, &drafts, env, &mut ask);
            drafts.push(draft);
        }
        Passed { drafts, wishes }
    }

    fn draft(&self, i: usize, drafts: &[Option<Draft>], env: &mut dyn Environment, ask: &mut Asking) -> Option<Draft> {
        let vertex = &self.vertices[i];
        match vertex.kind {
            Kind::Source(spec) => {
                let own = own_schema(spec);
                let inferred = own.is_none().then_some(i);
                let schema = self.pruned.get(&i).cloned().or(own).or_else(|| self.inferred.schema(i))?;
                source::draft(spec, schema, inferred, ask.errors)
            }
            Kind::Operator(spec) => {
                let inputs = Inputs::find(vertex, drafts, ask.errors)?.in_common();
                let broadcast = match spec.broadcast.is_empty() {
                    true => None,
                    false => Some(Inputs::find_broadcast(vertex, drafts, ask.errors)?.in_common()),
                };
                let components = &self.components[i];
                match &spec.kind {
                    OperatorKindSpec::Process(process) => {
                        let component = components[0].as_ref()?;
                        process::draft(spec, process, component, &inputs, broadcast.as_ref(), env, ask)
                    }
                    OperatorKindSpec::Window(window) => window::draft(spec, window, components, &inputs, env, ask),
                }
            }
            Kind::Sink(spec) => {
                let inputs = Inputs::find(vertex, drafts, ask.errors)?;
                sink::draft(spec, self.vertices, inputs, ask.errors)
            }
        }
    }
}
