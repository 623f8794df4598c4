//! Sinks: what they write.

use crate::model::schema::{DataType, Field, Schema};
use crate::plan::connector::{FileFormat, FileSink, MessageFormat, SinkConnector, SinkFormat};
use crate::plan::diagnostic::{Errors, Span, all, did_you_mean};
use crate::plan::graph::NodeKind;
use crate::plan::spec::SinkSpec;

use super::draft::{Draft, Needs};
use super::graph::Vertex;
use super::inputs::Inputs;

pub fn draft(spec: &SinkSpec, vertices: &[Vertex], inputs: Inputs, errors: &Errors) -> Option<Draft> {
    if let Some(source) = inputs.inferred_directly() {
        let uid = &vertices[source].uid.value;
        let message =
            format!("sink `{}` writes every column of `{uid}`, and nothing says which there are", spec.uid.value);
        let help =
            format!("declare them in [sources.{uid}], such as: schema = {{ user_id = \"text\", cents = \"i64?\" }}");
        errors.add_with_help(inputs.span(), message, help);
        return None;
    }
    let inputs = inputs.united(errors)?;
    check_columns(spec, &inputs.schema, errors)?;
    check_format(spec, &inputs.schema, inputs.span(), errors)?;
    Some(Draft {
        inputs: inputs.drafts(),
        input_schema: inputs.schema.clone(),
        broadcast_needs: None,
        kind: NodeKind::Sink(spec.connector.clone()),
        ports: Vec::new(),
        needs: needs(spec),
    })
}

fn needs(spec: &SinkSpec) -> Needs {
    match &spec.connector {
        SinkConnector::Kafka(kafka) if kafka.value.is_some() => {
            Needs::Columns(spec.columns.iter().map(|(name, _)| name.value.clone()).collect())
        }
        _ => Needs::All,
    }
}

/// The columns that the connector asks for by name are there, and of a type that fits.
fn check_columns(spec: &SinkSpec, schema: &Schema, errors: &Errors) -> Option<()> {
    let checked = spec.columns.iter().map(|(name, role)| {
        let Some(field) = schema.field(name) else {
            let hint = did_you_mean(name, schema.fields().iter().map(|field| field.name.as_str()));
            let message = format!("sink `{}` has no column `{}`{hint}", spec.uid.value, name.value);
            errors.add_with_help(name.span, message, format!("its input has {schema}"));
            return None;
        };
        role.check(field).map_err(|why| errors.add(name.span, format!("`{field}` cannot be used here: {why}"))).ok()
    });
    all(checked).map(|_: Vec<()>| ())
}

/// The format can write the columns that it is given.
fn check_format(spec: &SinkSpec, schema: &Schema, span: Span, errors: &Errors) -> Option<()> {
    let format = match &spec.connector {
        SinkConnector::File(FileSink { format: FileFormat::Rows(format), .. }) => MessageFormat::Rows(*format),
        SinkConnector::Kafka(kafka) => kafka.format,
        SinkConnector::Stdout { format } => MessageFormat::Rows(*format),
        SinkConnector::File(_) | SinkConnector::Blackhole => return Some(()),
    };
    let chosen = match &spec.connector {
        SinkConnector::Kafka(kafka) => kafka.value.as_ref(),
        _ => None,
    };
    let is_written = |field: &&Field| chosen.is_none_or(|chosen| chosen.contains(&field.name));
    let mut written = schema.fields().iter().filter(is_written);
    let uid = &spec.uid.value;
    match format {
        MessageFormat::Rows(SinkFormat::Json) => Some(()),
        MessageFormat::Rows(SinkFormat::Csv) => {
            let nested = written.find(|field| !field.data_type.is_key());
            let Some(nested) = nested else { return Some(()) };
            errors.add(span, format!("sink `{uid}` writes CSV, which cannot hold `{nested}`"));
            None
        }
        MessageFormat::Raw => {
            let one = matches!((written.next(), written.next()), (Some(field), None) if is_bytes(field));
            if !one {
                let help = "name the column, such as: value = [\"line\"]";
                let message = format!("sink `{uid}` writes raw values, which are one column of text or bytes");
                errors.add_with_help(span, message, help);
            }
            one.then_some(())
        }
    }
}

fn is_bytes(field: &Field) -> bool {
    matches!(field.data_type, DataType::Text | DataType::Bytes)
}
