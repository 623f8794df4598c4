//! Which columns of the sources somebody uses: the others need not be decoded.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::schema::Schema;
use crate::plan::connector::{CsvFormat, Format};
use crate::plan::graph::NodeKind;

use super::draft::Draft;
use super::graph::{Kind, Vertex};

/// The schemas of the sources without the columns that nobody needs, by vertex.
pub fn pruned(vertices: &[Vertex], drafts: &[Draft]) -> BTreeMap<usize, Schema> {
    // For each port of each node the columns that its readers need.
    let mut needed: Vec<Vec<BTreeSet<String>>> =
        drafts.iter().map(|draft| vec![BTreeSet::new(); draft.ports.len()]).collect();
    let mut schemas = BTreeMap::new();
    for (i, draft) in drafts.iter().enumerate().rev() {
        let mut columns = draft.needs.columns(&draft.input_schema);
        if let (NodeKind::Source(plan), Kind::Source(spec)) = (&draft.kind, vertices[i].kind) {
            columns.append(&mut needed[i][0]);
            // Without a header, columns are found by their order.
            let format = spec.connector.format();
            if matches!(format, Some(Format::Raw | Format::Csv(CsvFormat { header: false, .. }))) {
                let names = plan.schema.fields().iter().map(|field| field.name.clone());
                columns.extend(names.filter(|name| !spec.connector.is_metadata(name)));
            }
            schemas.insert(i, kept(&plan.schema, &columns));
            continue;
        }
        for (port, needed) in draft.ports.iter().zip(&needed[i]) {
            columns.extend(needed.intersection(&port.inherits).cloned());
        }
        for (edge, input) in vertices[i].edges.iter().zip(&draft.inputs) {
            let columns = match draft.broadcast_needs.as_ref().filter(|_| edge.is_broadcast_input) {
                Some((schema, needs)) => needs.columns(schema),
                None => columns.clone(),
            };
            needed[edge.from][input.port].extend(columns);
        }
    }
    schemas
}

/// At least one column, which counts the rows.
fn kept(schema: &Schema, columns: &BTreeSet<String>) -> Schema {
    let kept: Vec<_> = schema.fields().iter().filter(|field| columns.contains(&field.name)).cloned().collect();
    if kept.is_empty() { Schema::new(schema.fields().first().cloned()) } else { Schema::new(kept) }
}
