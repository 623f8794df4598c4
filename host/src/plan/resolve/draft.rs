//! A node whose schemas are known, before it is known where it runs.

use std::collections::BTreeSet;

use crate::model::schema::Schema;
use crate::plan::graph::NodeKind;

pub struct Draft {
    pub kind: NodeKind,
    /// For each edge of the vertex.
    pub inputs: Vec<DraftInput>,
    pub input_schema: Schema,
    /// The columns of its broadcast input that it needs.
    pub broadcast_needs: Option<(Schema, Needs)>,
    pub ports: Vec<Port>,
    /// The columns of its input that it needs for itself; what a port inherits comes on top.
    pub needs: Needs,
}

pub struct DraftInput {
    pub port: usize,
    /// As in `graph::Input`.
    pub columns: Vec<Option<usize>>,
}

pub struct Port {
    pub name: String,
    pub schema: Schema,
    pub has_time: bool,
    /// Which columns come from the input as they are.
    pub inherits: BTreeSet<String>,
    /// The sources (vertices) whose schema is inferred, and from which columns get here as they are.
    pub inferred: BTreeSet<usize>,
}

pub enum Needs {
    All,
    Columns(BTreeSet<String>),
}

impl Needs {
    pub fn of(schema: &Schema, indices: impl IntoIterator<Item = usize>) -> Self {
        Self::Columns(indices.into_iter().map(|i| schema.fields()[i].name.clone()).collect())
    }

    /// The names of these columns, of all that there are.
    pub fn columns(&self, schema: &Schema) -> BTreeSet<String> {
        match self {
            Self::All => schema.fields().iter().map(|field| field.name.clone()).collect(),
            Self::Columns(columns) => columns.clone(),
        }
    }

    pub fn add(&mut self, names: impl IntoIterator<Item = String>) {
        if let Self::Columns(columns) = self {
            columns.extend(names);
        }
    }
}
