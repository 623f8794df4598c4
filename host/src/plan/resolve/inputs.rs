//! What arrives at a node: its upstream ports made one schema, and the columns that it needs of them.

use std::collections::BTreeSet;

use crate::model::schema::{Field, Schema};
use crate::plan::diagnostic::{Errors, Span, Spanned, did_you_mean, quoted};

use super::draft::{Draft, DraftInput, Port};
use super::graph::{Edge, Vertex};
use super::infer::{Inferred, Wish};

/// The inputs of a vertex, all of which are known.
pub struct Inputs<'a> {
    vertex: &'a Vertex<'a>,
    list: Vec<(&'a Edge<'a>, usize, &'a Port)>,
    /// What the node reads.
    pub schema: Schema,
}

/// Where complaints and wishes go.
pub struct Asking<'a> {
    pub errors: &'a Errors,
    pub wishes: &'a mut Vec<Wish>,
    pub sources: &'a Inferred,
}

impl<'a> Inputs<'a> {
    /// `None` when an input is not known: that was said, or is said here.
    pub fn find(vertex: &'a Vertex<'a>, drafts: &'a [Option<Draft>], errors: &Errors) -> Option<Self> {
        Self::find_some(vertex, false, drafts, errors)
    }

    /// The same of what is broadcast to it.
    pub fn find_broadcast(vertex: &'a Vertex<'a>, drafts: &'a [Option<Draft>], errors: &Errors) -> Option<Self> {
        Self::find_some(vertex, true, drafts, errors)
    }

    fn find_some(
        vertex: &'a Vertex<'a>,
        is_broadcast_input: bool,
        drafts: &'a [Option<Draft>],
        errors: &Errors,
    ) -> Option<Self> {
        let edges = || vertex.edges.iter().filter(|edge| edge.is_broadcast_input == is_broadcast_input);
        let mut list = Vec::new();
        for edge in edges() {
            let Some(writer) = &drafts[edge.from] else { continue };
            let name = edge.spec.port.as_str();
            match writer.ports.iter().position(|port| port.name == name) {
                Some(port) => list.push((edge, port, &writer.ports[port])),
                None => {
                    let names = || writer.ports.iter().map(|port| port.name.as_str());
                    let from = &edge.spec.from.value;
                    let message = format!("`{from}` has no port `{name}`{}", did_you_mean(name, names()));
                    errors.add_with_help(edge.span(), message, format!("its ports: {}", quoted(names())));
                }
            }
        }
        let whole = !vertex.broken && list.len() == edges().count();
        whole.then(|| Self { vertex, list, schema: Schema::empty() })
    }

    /// The columns that all inputs have, of one type.
    pub fn in_common(mut self) -> Self {
        let (_, _, first) = self.list[0];
        let common = first.schema.fields().iter().filter_map(|field| {
            let others = self.list.iter().map(|(_, _, port)| port.schema.field(&field.name));
            let same: Option<Vec<&Field>> =
                others.map(|other| other.filter(|other| other.data_type == field.data_type)).collect();
            let nullable = same?.iter().any(|other| other.nullable);
            Some(Field { nullable, ..field.clone() })
        });
        self.schema = Schema::new(common.collect::<Vec<_>>());
        self
    }

    /// The columns that any input has; null where an input has it not.
    pub fn united(mut self, errors: &Errors) -> Option<Self> {
        let mut fields: Vec<Field> = Vec::new();
        let mut good = true;
        for (i, (edge, _, port)) in self.list.iter().enumerate() {
            for field in port.schema.fields() {
                match fields.iter_mut().find(|known| known.name == field.name) {
                    Some(known) if known.data_type != field.data_type => {
                        let what = self.vertex.what();
                        let message =
                            format!("{what} gets `{known}` from one input and `{field}` from `{}`", edge.name());
                        errors.add_with_help(
                            edge.span(),
                            message,
                            "columns of one name must have one type: use two sinks",
                        );
                        good = false;
                    }
                    Some(known) => known.nullable |= field.nullable,
                    None => fields.push(Field { nullable: field.nullable || i > 0, ..field.clone() }),
                }
            }
            for known in &mut fields {
                known.nullable |= port.schema.field(&known.name).is_none();
            }
        }
        self.schema = Schema::new(fields);
        good.then_some(self)
    }

    pub fn drafts(&self) -> Vec<DraftInput> {
        let columns =
            |port: &Port| self.schema.fields().iter().map(|field| port.schema.index_of(&field.name)).collect();
        self.list.iter().map(|(_, index, port)| DraftInput { port: *index, columns: columns(port) }).collect()
    }

    /// Where the first input stands.
    pub fn span(&self) -> Span {
        self.list[0].0.span()
    }

    /// The sources of inferred schema whose columns get here as they are.
    pub fn inferred(&self) -> BTreeSet<usize> {
        self.list.iter().flat_map(|(_, _, port)| port.inferred.iter().copied()).collect()
    }

    /// Those of them that are read directly.
    pub fn inferred_directly(&self) -> Option<usize> {
        self.list
            .iter()
            .map(|(edge, _, _)| edge.from)
            .zip(&self.list)
            .find_map(|(from, (_, _, port))| port.inferred.contains(&from).then_some(from))
    }

    pub fn has_time(&self) -> bool {
        self.list.iter().all(|(_, _, port)| port.has_time)
    }

    /// Complains when events come without a time.
    pub fn require_time(&self, why: &str, errors: &Errors) -> bool {
        for (edge, _, port) in &self.list {
            if !port.has_time {
                let message = format!("{} {why}, but the events of `{}` have no time", self.vertex.what(), edge.name());
                let help = "write it in the source: event_time = { column = \"timestamp\", unit = \"ms\" }";
                errors.add_with_help(edge.span(), message, help);
            }
        }
        self.has_time()
    }

    /// Whether every input has a column that fits; `noun` is what the column is for. A source whose schema is
    /// inferred is asked for it. Mistakes are shown at `place`, or else at the input.
    pub fn need(&self, noun: &str, need: &Field, place: Option<Span>, ask: &mut Asking) -> bool {
        let mut good = true;
        for (edge, _, port) in &self.list {
            let have = port.schema.field(&need.name);
            if have.is_some_and(|have| fits(have, need)) {
                continue;
            }
            good = false;
            let wished = port.inferred.iter().filter(|source| ask.sources.would_take(**source, need));
            let wishes: Vec<Wish> =
                wished.map(|source| Wish { source: *source, field: need.clone(), by: self.vertex.what() }).collect();
            if !wishes.is_empty() {
                ask.wishes.extend(wishes);
                continue;
            }
            let what = self.vertex.what();
            let from = edge.name();
            let place = place.unwrap_or(edge.span());
            match have {
                None => {
                    let hint = did_you_mean(&need.name, port.schema.fields().iter().map(|field| field.name.as_str()));
                    let message = format!("{what} needs the {noun} `{need}`, which `{from}` does not have{hint}");
                    ask.errors.add_with_help(place, message, columns_of(&from, &port.schema));
                }
                Some(have) => {
                    let message = format!("{what} needs the {noun} `{need}`, but `{from}` has `{have}`");
                    let help = self.why_other(have, port, need, ask);
                    ask.errors.add_with_help(place, message, help);
                }
            }
        }
        good
    }

    fn why_other(&self, have: &Field, port: &Port, need: &Field, ask: &Asking) -> String {
        let by = port.inferred.iter().find_map(|source| ask.sources.wished_by(*source, &have.name));
        match by {
            Some(by) => format!("that type is what {by} needs"),
            None if have.data_type == need.data_type => "`?` stands for a column that may be null".to_owned(),
            None => "the types must be the same".to_owned(),
        }
    }

    /// A column that the user named, of whatever type; its index in the schema. `like` is a type that may fit.
    pub fn column(&self, name: &Spanned<String>, noun: &str, like: &str, ask: &Asking) -> Option<usize> {
        if let Some(index) = self.schema.index_of(name) {
            return Some(index);
        }
        let what = self.vertex.what();
        for (edge, _, port) in &self.list {
            if port.schema.field(name).is_some() {
                continue;
            }
            let from = edge.name();
            let message = format!("the {noun} `{}` of {what} is not a column of `{from}`", name.value);
            if let Some(source) = port.inferred.first() {
                ask.errors.add_with_help(name.span, message, ask.sources.declare(*source, name, like));
            } else {
                let hint = did_you_mean(name, port.schema.fields().iter().map(|field| field.name.as_str()));
                ask.errors.add_with_help(name.span, format!("{message}{hint}"), columns_of(&from, &port.schema));
            }
            return None;
        }
        let types = self.list.iter().filter_map(|(_, _, port)| port.schema.field(name)).map(ToString::to_string);
        let types = types.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let message = format!("the {noun} `{}` of {what} has another type in each input", name.value);
        let help = quoted(types.iter().map(String::as_str));
        ask.errors.add_with_help(name.span, message, help);
        None
    }
}

/// A column without nulls fits where nulls are taken.
pub fn fits(have: &Field, need: &Field) -> bool {
    have.data_type == need.data_type && (need.nullable || !have.nullable)
}

pub fn columns_of(name: &str, schema: &Schema) -> String {
    if schema.fields().is_empty() { format!("`{name}` has no columns") } else { format!("`{name}` has {schema}") }
}
