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
    unique_metadata(spec, errors)?;
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
        broadcast_needs: None,
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
        connector if matches!(connector.format(), Some(Format::Raw)) => {
            let events: Vec<&Field> = event_fields(connector, schema).collect();
            if !matches!(events[..], [Field { data_type: DataType::Text | DataType::Bytes, .. }]) {
                let help = format!("leave `schema` out for {{ {} = \"text\" }}", fixed::raw(connector).name);
                errors.add_with_help(span, "a raw source has one column, of the type text or bytes", help);
                return None;
            }
        }
        _ => {}
    }
    Some(())
}

fn unique_metadata(spec: &SourceSpec, errors: &Errors) -> Option<()> {
    let Some(declared) = &spec.schema else { return Some(()) };
    let Some(twice) = spec.connector.metadata().find(|field| declared.value.field(&field.name).is_some()) else {
        return Some(());
    };
    let message = format!("the column `{}` stands in `schema` and in `metadata`", twice.name);
    errors.add_with_help(
        declared.span,
        message,
        "a column of `metadata` has a name of its own, and no place in `schema`",
    );
    None
}

fn no_nesting_in_csv(spec: &SourceSpec, schema: &Schema, errors: &Errors) -> Option<()> {
    let Some(Format::Csv(csv)) = spec.connector.format() else { return Some(()) };
    let span = spec.schema.as_ref().map_or(spec.uid.span, |schema| schema.span);
    if !csv.header && spec.schema.is_none() {
        let message =
            format!("source `{}` has no header line, so its columns must be declared in their order", spec.uid.value);
        errors.add_with_help(span, message, "for example: schema = { user_id = \"text\", cents = \"i64?\" }");
        return None;
    }
    if let Some(nested) = event_fields(&spec.connector, schema).find(|field| !field.data_type.is_key()) {
        errors.add(span, format!("CSV cannot hold `{nested}`"));
        return None;
    }
    Some(())
}

/// The columns that come from the bytes of events.
fn event_fields<'a>(connector: &'a SourceConnector, schema: &'a Schema) -> impl Iterator<Item = &'a Field> {
    schema.fields().iter().filter(|field| !connector.is_metadata(&field.name))
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
