//! Names to edges: who reads from whom, in an order in which every node stands behind those that it reads from.

use crate::plan::connector::{SinkConnector, SourceConnector};
use crate::plan::diagnostic::{Errors, Span, Spanned, did_you_mean, quoted};
use crate::plan::spec::{InputSpec, JobSpec, OperatorSpec, SinkSpec, SourceSpec};

#[derive(Clone, Copy)]
pub enum Kind<'a> {
    Source(&'a SourceSpec),
    Operator(&'a OperatorSpec),
    Sink(&'a SinkSpec),
}

pub struct Vertex<'a> {
    pub uid: &'a Spanned<String>,
    pub kind: Kind<'a>,
    pub edges: Vec<Edge<'a>>,
    /// An input could not be found: whatever follows from it was said.
    pub broken: bool,
}

pub struct Edge<'a> {
    /// Index of the vertex.
    pub from: usize,
    pub spec: &'a InputSpec,
    /// It is part of the operator's second input.
    pub is_broadcast_input: bool,
}

impl Edge<'_> {
    /// As the user wrote it.
    pub fn name(&self) -> String {
        port_name(&self.spec.from, &self.spec.port)
    }

    pub fn span(&self) -> Span {
        self.spec.from.span
    }
}

impl<'a> Kind<'a> {
    fn word(self) -> &'static str {
        match self {
            Kind::Source(_) => "source",
            Kind::Operator(_) => "operator",
            Kind::Sink(_) => "sink",
        }
    }

    fn inputs(self) -> &'a [InputSpec] {
        match self {
            Kind::Source(_) => &[],
            Kind::Operator(spec) => &spec.inputs,
            Kind::Sink(spec) => &spec.inputs,
        }
    }

    /// Of the second input.
    fn broadcast(self) -> &'a [InputSpec] {
        match self {
            Kind::Operator(spec) => &spec.broadcast,
            Kind::Source(_) | Kind::Sink(_) => &[],
        }
    }
}

impl Vertex<'_> {
    /// For messages.
    pub fn what(&self) -> String {
        format!("{} `{}`", self.kind.word(), self.uid.value)
    }
}

pub fn port_name(from: &str, port: &str) -> String {
    if port == "main" { from.to_owned() } else { format!("{from}.{port}") }
}

/// The vertices in topological order; `None` when there is no such order, or no job.
pub fn build<'a>(job: &'a JobSpec, errors: &Errors) -> Option<Vec<Vertex<'a>>> {
    let mut vertices = vertices(job);
    if vertices.is_empty() {
        let help = "write at least one [sources.NAME] and one [sinks.NAME] with inputs = [\"NAME\"]";
        errors.add_with_help(job.name.span, "the job is empty", help);
        return None;
    }
    unique_names(&vertices, errors);
    unique_places(job, errors);
    if job.sinks.is_empty() {
        let help = "write [sinks.NAME] with inputs and a connector, such as \"stdout\"";
        errors.add_with_help(job.name.span, "the job has no sink", help);
    }
    connect(&mut vertices, errors);
    if !vertices.iter().any(|vertex| vertex.broken) {
        unread(&vertices, errors);
    }
    sorted(vertices, errors)
}

fn vertices(job: &JobSpec) -> Vec<Vertex<'_>> {
    let vertex = |uid, kind| Vertex { uid, kind, edges: Vec::new(), broken: false };
    let sources = job.sources.iter().map(|spec| vertex(&spec.uid, Kind::Source(spec)));
    let operators = job.operators.iter().map(|spec| vertex(&spec.uid, Kind::Operator(spec)));
    let sinks = job.sinks.iter().map(|spec| vertex(&spec.uid, Kind::Sink(spec)));
    sources.chain(operators).chain(sinks).collect()
}

fn unique_names(vertices: &[Vertex], errors: &Errors) {
    for (i, vertex) in vertices.iter().enumerate() {
        if let Some(earlier) = vertices[..i].iter().find(|earlier| earlier.uid.value == vertex.uid.value) {
            let message = format!("the name of {} is taken: there is {}", vertex.what(), earlier.what());
            errors.add_with_help(vertex.uid.span, message, "sources, operators and sinks share one set of names");
        }
    }
}

/// Standard input has one reader, who reads it once, and a folder one writer.
fn unique_places(job: &JobSpec, errors: &Errors) {
    let is_stdin = |source: &SourceSpec| matches!(source.connector, SourceConnector::Stdin { .. });
    let mut stdin = job.sources.iter().filter(|source| is_stdin(source));
    if let (Some(first), Some(second)) = (stdin.next(), stdin.next()) {
        let message = format!("the sources `{}` and `{}` both read standard input", first.uid.value, second.uid.value);
        errors.add_with_help(second.uid.span, message, "let both readers name one source in their `inputs`");
    }
    if let (Some(source), Some(_)) = (job.sources.iter().find(|source| is_stdin(source)), &job.checkpoints) {
        let message = format!(
            "`{}` reads standard input, which cannot be read again: a restored job would lose what was in flight",
            source.uid.value
        );
        errors.add_with_help(
            source.uid.span,
            message,
            "leave `[checkpoints]` out, or let the job read files or topics",
        );
    }
    let folder = |sink: &SinkSpec| match &sink.connector {
        SinkConnector::File(file) => Some(file.path.clone()),
        SinkConnector::Kafka(_) | SinkConnector::Stdout { .. } | SinkConnector::Blackhole => None,
    };
    for (i, sink) in job.sinks.iter().enumerate() {
        let same = |other: &&SinkSpec| folder(sink).is_some() && folder(other) == folder(sink);
        if let Some(earlier) = job.sinks[..i].iter().find(same) {
            let message = format!("the sinks `{}` and `{}` write to one folder", earlier.uid.value, sink.uid.value);
            errors.add_with_help(sink.uid.span, message, "give each a `path` of its own, or one sink both inputs");
        }
    }
}

fn connect(vertices: &mut [Vertex], errors: &Errors) {
    for reader in 0..vertices.len() {
        let mut edges: Vec<Edge> = Vec::new();
        let mut broken = false;
        let kind = vertices[reader].kind;
        let inputs = kind.inputs().iter().map(|spec| (spec, false));
        for (spec, is_broadcast_input) in inputs.chain(kind.broadcast().iter().map(|spec| (spec, true))) {
            match find(vertices, spec, errors) {
                Some(from) => edges.push(Edge { from, spec, is_broadcast_input }),
                None => broken = true,
            }
        }
        vertices[reader].edges = edges;
        vertices[reader].broken = broken;
    }
}

fn find(vertices: &[Vertex], spec: &InputSpec, errors: &Errors) -> Option<usize> {
    let name = spec.from.value.as_str();
    let found = vertices.iter().position(|vertex| vertex.uid.value == name);
    if let Some(Kind::Sink(_)) = found.map(|found| vertices[found].kind) {
        errors.add(spec.from.span, format!("`{name}` is a sink: nothing can be read from it"));
        return None;
    }
    if found.is_none() {
        let readable = || vertices.iter().filter(|vertex| !matches!(vertex.kind, Kind::Sink(_)));
        let names = || readable().map(|vertex| vertex.uid.as_str());
        let message = format!("there is no source or operator `{name}`{}", did_you_mean(name, names()));
        errors.add_with_help(spec.from.span, message, format!("there are {}", quoted(names())));
    }
    found
}

/// Whatever nobody reads is work for nothing, and most likely a slip.
fn unread(vertices: &[Vertex], errors: &Errors) {
    for (i, vertex) in vertices.iter().enumerate() {
        let read = vertices.iter().any(|reader| reader.edges.iter().any(|edge| edge.from == i));
        if !read && !matches!(vertex.kind, Kind::Sink(_)) {
            let message = format!("nothing reads {}", vertex.what());
            let help = format!("write inputs = [\"{}\"] in an operator or a sink, or remove it", vertex.uid.value);
            errors.add_with_help(vertex.uid.span, message, help);
        }
    }
}

/// Kahn's algorithm; among those that are ready, the order of the file.
fn sorted<'a>(vertices: Vec<Vertex<'a>>, errors: &Errors) -> Option<Vec<Vertex<'a>>> {
    let mut position: Vec<Option<usize>> = vec![None; vertices.len()];
    let mut order = Vec::new();
    while order.len() < vertices.len() {
        let ready =
            |i: &usize| position[*i].is_none() && vertices[*i].edges.iter().all(|edge| position[edge.from].is_some());
        let Some(next) = (0..vertices.len()).find(ready) else {
            let stuck: Vec<bool> = position.iter().map(Option::is_none).collect();
            report_cycle(&vertices, &stuck, errors);
            return None;
        };
        position[next] = Some(order.len());
        order.push(next);
    }
    let mut slots: Vec<Option<Vertex>> = vertices.into_iter().map(Some).collect();
    let mut sorted: Vec<Vertex> = order.iter().filter_map(|i| slots[*i].take()).collect();
    for edge in sorted.iter_mut().flat_map(|vertex| &mut vertex.edges) {
        edge.from = position[edge.from].expect("every vertex has its place");
    }
    Some(sorted)
}

/// From any vertex that is stuck, going to an input that is stuck leads into a cycle.
fn report_cycle(vertices: &[Vertex], stuck: &[bool], errors: &Errors) {
    let mut path: Vec<usize> = Vec::new();
    let mut at = stuck.iter().position(|stuck| *stuck).expect("there is a cycle");
    while !path.contains(&at) {
        path.push(at);
        at = vertices[at].edges.iter().map(|edge| edge.from).find(|from| stuck[*from]).expect("it waits for one");
    }
    let start = path.iter().position(|vertex| *vertex == at).expect("the walk came back to it");
    // The walk went against the stream.
    let mut cycle: Vec<usize> = path[start..].iter().rev().copied().collect();
    let first = cycle.iter().enumerate().min_by_key(|(_, vertex)| **vertex).map_or(0, |(i, _)| i);
    cycle.rotate_left(first);
    cycle.push(cycle[0]);
    let names: Vec<String> = cycle.iter().map(|vertex| format!("`{}`", vertices[*vertex].uid.value)).collect();
    let edge = vertices[cycle[0]].edges.iter().find(|edge| edge.from == cycle[cycle.len() - 2]);
    let span = edge.map_or(vertices[cycle[0]].uid.span, Edge::span);
    errors.add(span, format!("a cycle: {}", names.join(" -> ")));
}
