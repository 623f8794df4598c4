//! Where nodes run, and how rows get from one to the next.

use crate::model::id::Parallelism;
use crate::plan::connector::SourceConnector;
use crate::plan::diagnostic::{Errors, Spanned};
use crate::plan::environment::Environment;
use crate::plan::graph::{Exchange, Input, NodeIndex, NodeKind};
use crate::plan::spec::{ForcedExchange, JobSpec, SourceSpec};

use super::draft::Draft;
use super::graph::{Kind, Vertex};

/// The parallelism of a node, and whether its slots may have nothing to read.
#[derive(Clone, Copy)]
pub struct Place {
    pub parallelism: Parallelism,
    pub uneven: bool,
}

/// What a node gets when it says nothing.
pub fn default_parallelism(job: &JobSpec, cores: Parallelism) -> Parallelism {
    let most = Parallelism::new(job.max_parallelism).unwrap_or(Parallelism::ONE);
    let asked = job.parallelism.as_ref().and_then(|slots| Parallelism::new(slots.value));
    asked.unwrap_or_else(|| cores.min(most))
}

fn own(asked: Option<&Spanned<u16>>, default: Parallelism) -> Parallelism {
    asked.and_then(|slots| Parallelism::new(slots.value)).unwrap_or(default)
}

/// A source as it runs: a generator that is not told its splits has one for each slot.
pub fn connector(spec: &SourceSpec, default: Parallelism) -> SourceConnector {
    let mut connector = spec.connector.clone();
    if let (true, SourceConnector::Generator(generator)) = (spec.splits_as_parallelism, &mut connector) {
        generator.splits = own(spec.parallelism.as_ref(), default).get();
    }
    connector
}

/// A source has no more slots than splits, unless it may find more of them.
pub fn source(spec: &SourceSpec, default: Parallelism, env: &mut dyn Environment, errors: &Errors) -> Option<Place> {
    let asked = own(spec.parallelism.as_ref(), default);
    let splits = match env.splits(&connector(spec, default)) {
        Ok(splits) => splits,
        Err(message) => {
            errors.add(spec.place, message);
            return None;
        }
    };
    let splits = Parallelism::new(u16::try_from(splits).unwrap_or(u16::MAX)).unwrap_or(Parallelism::ONE);
    let parallelism = if spec.connector.is_unbounded() { asked } else { asked.min(splits) };
    Some(Place { parallelism, uneven: splits < parallelism })
}

/// Operators and sinks, given the places of those before them. State without a key, and windows without one, are one.
/// A sink is as parallel as what it writes, so that the output of one slot keeps its order.
pub fn reader(
    vertex: &Vertex,
    draft: &Draft,
    places: &[Option<Place>],
    default: Parallelism,
    errors: &Errors,
) -> Option<Place> {
    let asked = match vertex.kind {
        Kind::Operator(spec) => spec.parallelism.as_ref(),
        Kind::Sink(spec) => spec.parallelism.as_ref(),
        Kind::Source(_) => None,
    };
    let default = match vertex.kind {
        Kind::Sink(_) => {
            let writers = vertex.edges.iter().filter_map(|edge| places[edge.from]);
            writers.map(|place| place.parallelism).max().unwrap_or(default)
        }
        Kind::Operator(_) | Kind::Source(_) => default,
    };
    let why = match &draft.kind {
        NodeKind::Process(plan) if plan.key.is_none() && !plan.descriptor.is_state_by_slot() => {
            "has state but no `key_by`"
        }
        NodeKind::Process(plan) if plan.key.is_none() && !plan.descriptor.timers.is_empty() => {
            "has timers but no `key_by`"
        }
        NodeKind::Window(plan) if plan.key.is_empty() => "is a window without `key_by`",
        _ => return Some(Place { parallelism: own(asked, default), uneven: false }),
    };
    if let Some(slots) = asked.filter(|slots| slots.value > 1) {
        errors.add(slots.span, format!("{} {why}: its parallelism can only be 1", vertex.what()));
        return None;
    }
    Some(Place { parallelism: Parallelism::ONE, uneven: false })
}

pub fn inputs(i: usize, vertices: &[Vertex], drafts: &[Draft], places: &[Place], errors: &Errors) -> Vec<Input> {
    let (vertex, draft) = (&vertices[i], &drafts[i]);
    let key: Option<&[usize]> = match &draft.kind {
        NodeKind::Process(plan) => plan.key.as_deref(),
        NodeKind::Window(plan) if !plan.key.is_empty() => Some(&plan.key),
        _ => None,
    };
    let edges = vertex.edges.iter().zip(&draft.inputs);
    edges
        .map(|(edge, input)| {
            let (from, port, columns) = (NodeIndex(edge.from), input.port, input.columns.clone());
            if edge.is_broadcast_input {
                return Input { from, port, is_broadcast_input: true, exchange: Exchange::Broadcast, columns };
            }
            let key = key.map(|key| key.iter().filter_map(|column| input.columns[*column]).collect::<Vec<_>>());
            let forced = edge.spec.exchange.as_ref();
            let exchange = exchange(vertex, places[edge.from], places[i].parallelism, key, forced, errors);
            Input { from, port, is_broadcast_input: false, exchange, columns }
        })
        .collect()
}

fn exchange(
    vertex: &Vertex,
    writer: Place,
    reader: Parallelism,
    key: Option<Vec<usize>>,
    forced: Option<&Spanned<ForcedExchange>>,
    errors: &Errors,
) -> Exchange {
    let equal = writer.parallelism == reader;
    if let (Some(forced), true) = (forced, key.is_some()) {
        let message = format!("{} has a `key_by`, so that rows must come by their key", vertex.what());
        errors.add_with_help(forced.span, message, "leave `exchange` out");
    }
    if let (Some(key), false) = (key, equal && reader == Parallelism::ONE) {
        return Exchange::Hash { key };
    }
    match forced.map(|forced| (forced.value, forced.span)) {
        Some((ForcedExchange::Forward, span)) if !equal => {
            let (from, to) = (writer.parallelism.get(), reader.get());
            let message = format!("`forward` needs equal parallelism, and it goes from {from} to {to} slots");
            errors.add_with_help(span, message, "allowed here: `rebalance`, `broadcast`");
            Exchange::Rebalance
        }
        Some((ForcedExchange::Forward, _)) => Exchange::Forward,
        Some((ForcedExchange::Rebalance, _)) => Exchange::Rebalance,
        Some((ForcedExchange::Broadcast, _)) => Exchange::Broadcast,
        None if equal && !writer.uneven => Exchange::Forward,
        None => Exchange::Rebalance,
    }
}
