//! Sources: their schema and time.

use std::collections::BTreeSet;

use crate::model::schema::{DataType, Field, Schema};
use crate::model::time::Micros;
use crate::plan::connector::{Format, SourceConnector, SourcePlan, TimePlan, TimeUnit};
use crate::plan::diagnostic::{Errors, Span, did_you_mean};
use crate::plan::graph::NodeKind;
use crate::plan::spec::{SourceSpec, TimeSpec};

use super::draft::{Draft, Needs, Port};
use super::fixed;
use super::inputs::columns_of;

/// `inferred` is the vertex when the schema is inferred.
pub fn draft(spec: &SourceSpec, schema: Schema, inferred: Option<usize>, errors: &Errors) -> Option<Draft> {
    if inferred.is_none() {
        check(spec, &schema, errors)?;
    }
    no_nesting_in_csv(spec, &schema, errors)?;
    let time = match &spec.time {
        Some(time) => Some(time_plan(time, &spec.uid, &schema, own_out_of_orderness(spec), errors)?),
        None => None,
    };
    let port = Port {
        name: "main".to_owned(),
        schema: schema.clone(),
        has_time: time.is_some(),
        inherits: BTreeSet::new(),
        inferred: inferred.into_iter().collect(),
    };
    Some(Draft {
        needs: Needs::of(&schema, time.iter().map(|time| time.column)),
        kind: NodeKind::Source(SourcePlan { connector: spec.connector.clone(), schema, time }),
        inputs: Vec::new(),
        input_schema: Schema::empty(),
        ports: vec![port],
    })
}

/// A declared schema must be one that the connector can have.
fn check(spec: &SourceSpec, schema: &Schema, errors: &Errors) -> Option<()> {
    let span = spec.schema.as_ref().map_or(spec.uid.span, |schema| schema.span);
    match &spec.connector {
        SourceConnector::Generator(generator) => {
            let whole = fixed::generated(&generator.events);
            let wrong: Option<&Field> = schema.fields().iter().find(|field| whole.field(&field.name) != Some(field));
            if let Some(field) = wrong {
                errors.add_with_help(span, format!("the generator does not make `{field}`"), columns_of("it", &whole));
                return None;
            }
        }
        SourceConnector::File(_) | SourceConnector::Stdin { .. } if matches!(format(spec), Some(Format::Raw)) => {
            let lines = matches!(schema.fields(), [Field { data_type: DataType::Text | DataType::Bytes, .. }]);
            if !lines {
                let help = "leave `schema` out for { line = \"text\" }";
                errors.add_with_help(span, "a raw source has one column, of the type text or bytes", help);
                return None;
            }
        }
        SourceConnector::File(_) | SourceConnector::Stdin { .. } => {}
    }
    Some(())
}

fn no_nesting_in_csv(spec: &SourceSpec, schema: &Schema, errors: &Errors) -> Option<()> {
    let Some(Format::Csv(csv)) = format(spec) else { return Some(()) };
    let span = spec.schema.as_ref().map_or(spec.uid.span, |schema| schema.span);
    if !csv.header && spec.schema.is_none() {
        let message =
            format!("source `{}` has no header line, so its columns must be declared in their order", spec.uid.value);
        errors.add_with_help(span, message, "for example: schema = { user_id = \"text\", cents = \"i64?\" }");
        return None;
    }
    if let Some(nested) = schema.fields().iter().find(|field| !field.data_type.is_key()) {
        errors.add(span, format!("CSV cannot hold `{nested}`"));
        return None;
    }
    Some(())
}

pub fn format(spec: &SourceSpec) -> Option<&Format> {
    match &spec.connector {
        SourceConnector::File(file) => Some(&file.format),
        SourceConnector::Stdin { format } => Some(format),
        SourceConnector::Generator(_) => None,
    }
}

/// A generator knows how far its events are out of order.
fn own_out_of_orderness(spec: &SourceSpec) -> Micros {
    match &spec.connector {
        SourceConnector::Generator(generator) => generator.out_of_orderness,
        _ => Micros(0),
    }
}

/// The time of a stream called `name`.
pub fn time_plan(
    spec: &TimeSpec,
    name: &str,
    schema: &Schema,
    out_of_orderness: Micros,
    errors: &Errors,
) -> Option<TimePlan> {
    let wanted = &spec.event_time.column;
    let Some(column) = schema.index_of(wanted) else {
        let hint = did_you_mean(wanted, schema.fields().iter().map(|field| field.name.as_str()));
        let message = format!("the event-time column `{}` is not a column of `{name}`{hint}", wanted.value);
        errors.add_with_help(wanted.span, message, columns_of(name, schema));
        return None;
    };
    let unit = unit(spec, &schema.fields()[column], errors)?;
    Some(TimePlan {
        column,
        unit,
        out_of_orderness: spec.watermark.out_of_orderness.unwrap_or(out_of_orderness),
        idle_timeout: spec.watermark.idle_timeout,
    })
}

fn unit(spec: &TimeSpec, field: &Field, errors: &Errors) -> Option<TimeUnit> {
    let refuse = |span: Span, message: String, help: &str| {
        errors.add_with_help(span, message, help);
        None
    };
    let column = spec.event_time.column.span;
    match (&field.data_type, &spec.event_time.unit) {
        (number, Some(unit)) if number.is_integer() => Some(unit.value),
        (DataType::Timestamp, None) => Some(TimeUnit::Timestamp),
        (DataType::Text, None) => Some(TimeUnit::Rfc3339),
        (number, None) if number.is_integer() => {
            refuse(column, format!("`{field}` needs a `unit`"), "allowed here: `s`, `ms`, `us`, `ns`")
        }
        (DataType::Timestamp | DataType::Text, Some(unit)) => {
            refuse(unit.span, format!("`{field}` takes no `unit`"), "a unit is for integers")
        }
        _ => refuse(
            column,
            format!("`{field}` cannot be an event time"),
            "an event time is an integer with a `unit`, timestamp, or text such as 2015-05-17T10:05:03Z",
        ),
    }
}
