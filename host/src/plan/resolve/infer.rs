//! Schemas of sources that declare none: what the readers declare that they need, and the event-time column.

use std::collections::BTreeMap;

use crate::model::schema::{DataType, Field, Schema};
use crate::plan::connector::{Format, SourceConnector};
use crate::plan::diagnostic::Errors;
use crate::plan::spec::SourceSpec;

use super::fixed;
use super::graph::{Kind, Vertex};
use super::inputs::fits;

/// A reader needs a column of a source that does not have it yet.
pub struct Wish {
    /// The vertex.
    pub source: usize,
    pub field: Field,
    /// For messages.
    pub by: String,
}

/// The schemas of sources: declared ones, fixed ones, and those that grow with the wishes.
pub struct Inferred {
    sources: BTreeMap<usize, Columns>,
}

struct Columns {
    uid: String,
    wished: Vec<(Field, String)>,
    /// Columns that the connector adds: nobody can wish them otherwise.
    metadata: Vec<Field>,
    /// Of the event-time column, as long as nobody wishes another.
    time: Option<Field>,
}

/// Whether the source's schema is not known but from its readers.
fn is_inferred(spec: &SourceSpec) -> bool {
    spec.schema.is_none() && !matches!(spec.connector.format(), None | Some(Format::Raw))
}

impl Inferred {
    pub fn new(vertices: &[Vertex]) -> Self {
        let columns = |(i, vertex): (usize, &Vertex)| match vertex.kind {
            Kind::Source(spec) if is_inferred(spec) => {
                let metadata: Vec<Field> = spec.connector.metadata().cloned().collect();
                let time = spec.time.as_ref().map(|time| {
                    let numeric = time.event_time.unit.is_some();
                    let data_type = if numeric { DataType::I64 } else { DataType::Text };
                    Field::new(&time.event_time.column, data_type)
                });
                let time = time.filter(|time| metadata.iter().all(|field| field.name != time.name));
                Some((i, Columns { uid: spec.uid.value.clone(), wished: Vec::new(), metadata, time }))
            }
            _ => None,
        };
        Self { sources: vertices.iter().enumerate().filter_map(columns).collect() }
    }

    /// As far as it is known; `None` when the schema is not inferred.
    pub fn schema(&self, source: usize) -> Option<Schema> {
        self.sources.get(&source).map(|columns| Schema::new(columns.fields()))
    }

    /// Whether a wish would change the schema so that it is met.
    pub fn would_take(&self, source: usize, field: &Field) -> bool {
        let Some(columns) = self.sources.get(&source) else { return false };
        if columns.metadata.iter().any(|fixed| fixed.name == field.name) {
            return false;
        }
        match columns.wished.iter().find(|(known, _)| known.name == field.name) {
            None => true,
            Some((known, _)) => known.data_type == field.data_type && !fits(known, field),
        }
    }

    /// Whether the wish changed anything.
    pub fn take(&mut self, wish: Wish) -> bool {
        if !self.would_take(wish.source, &wish.field) {
            return false;
        }
        let Some(columns) = self.sources.get_mut(&wish.source) else { return false };
        match columns.wished.iter_mut().find(|(known, _)| known.name == wish.field.name) {
            Some((known, _)) => known.nullable = false,
            None => columns.wished.push((wish.field, wish.by)),
        }
        true
    }

    pub fn wished_by(&self, source: usize, column: &str) -> Option<&str> {
        let wished = &self.sources.get(&source)?.wished;
        wished.iter().find(|(field, _)| field.name == column).map(|(_, by)| by.as_str())
    }

    /// Complains about sources of which nobody needs any column.
    pub fn report_empty(&self, vertices: &[Vertex], errors: &Errors) {
        for (i, columns) in &self.sources {
            if columns.fields().is_empty() {
                let message = format!("nothing says which columns source `{}` has", columns.uid);
                let help = "declare them, such as: schema = { user_id = \"text\", cents = \"i64?\" }";
                errors.add_with_help(vertices[*i].uid.span, message, help);
            }
        }
    }

    /// The line that would declare the schema with one more column.
    pub fn declare(&self, source: usize, column: &str, like: &str) -> String {
        let Some(columns) = self.sources.get(&source) else { return String::new() };
        let written = columns.events().map(|field| {
            let whole = field.to_string();
            let data_type = whole.strip_prefix(&format!("{}: ", field.name)).unwrap_or(&whole).to_owned();
            (field.name, data_type)
        });
        let all: Vec<String> = written
            .chain(std::iter::once((column.to_owned(), like.to_owned())))
            .map(|(name, data_type)| format!("{} = \"{data_type}\"", toml_key(&name)))
            .collect();
        format!(
            "nothing says its type: declare the columns in [sources.{}], such as: schema = {{ {} }}",
            columns.uid,
            all.join(", ")
        )
    }
}

impl Columns {
    /// What comes from the bytes of events.
    fn events(&self) -> impl Iterator<Item = Field> {
        let wished = self.wished.iter().map(|(field, _)| field.clone());
        let time = self.time.iter().filter(|time| self.wished.iter().all(|(field, _)| field.name != time.name));
        wished.chain(time.cloned())
    }

    fn fields(&self) -> Vec<Field> {
        self.events().chain(self.metadata.iter().cloned()).collect()
    }
}

/// Quoted where TOML asks for it.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare || name == ".." { name.to_owned() } else { format!("{name:?}") }
}

/// The schema that a source has without its readers.
pub fn own_schema(spec: &SourceSpec) -> Option<Schema> {
    let events = match (&spec.schema, &spec.connector) {
        (Some(schema), _) => schema.value.clone(),
        (None, SourceConnector::Generator(generator)) => fixed::generated(&generator.events),
        (None, connector) if !is_inferred(spec) => Schema::new([fixed::raw(connector)]),
        (None, _) => return None,
    };
    Some(Schema::new(events.fields().iter().chain(spec.connector.metadata()).cloned()))
}
