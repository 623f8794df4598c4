//! Windows: key, aggregates, and the schema of their rows.

use std::collections::BTreeSet;

use crate::model::schema::{DataType, Field, Schema};
use crate::plan::descriptor::WINDOW_BOUND;
use crate::plan::diagnostic::{Errors, Spanned, all};
use crate::plan::environment::Environment;
use crate::plan::graph::{AggregatePlan, NativeAggregate, NodeKind, WindowPlan};
use crate::plan::spec::{AggregateCall, Function, OperatorSpec, PluginSpec, WindowSpec};

use super::component::Component;
use super::draft::{Draft, Needs, Port};
use super::inputs::{Asking, Inputs};
use super::process;

/// An aggregate with the columns that it gives and the input columns that it takes.
struct Aggregated {
    plan: AggregatePlan,
    columns: Vec<Field>,
    needs: Needs,
}

pub fn draft(
    spec: &OperatorSpec,
    window: &WindowSpec,
    components: &[Option<Component>],
    inputs: &Inputs,
    env: &mut dyn Environment,
    ask: &mut Asking,
) -> Option<Draft> {
    let timed = inputs.require_time("is a window", ask.errors);
    let key = match &spec.key_by {
        Some(key_by) => process::key_columns(key_by, inputs, ask),
        None => Some(Vec::new()),
    };
    let aggregates =
        all(window.aggregates.iter().zip(components).map(|(aggregate, component)| match &aggregate.call {
            AggregateCall::Native { function, column } => {
                native(&aggregate.name, *function, column.as_ref(), inputs, ask)
            }
            AggregateCall::Plugin(plugin) => component
                .as_ref()
                .and_then(|component| from_plugin(&aggregate.name, plugin, component, inputs, env, ask)),
        }));
    let (aggregates, key) = aggregates.zip(key)?;
    let schema = rows(&key, window, &aggregates, &inputs.schema, ask.errors)?;
    let mut needs = Needs::of(&inputs.schema, key.iter().copied());
    for aggregate in &aggregates {
        match &aggregate.needs {
            Needs::All => needs = Needs::All,
            Needs::Columns(columns) => needs.add(columns.iter().cloned()),
        }
    }
    let plan = WindowPlan {
        key,
        window: window.window.value,
        allowed_lateness: window.allowed_lateness,
        aggregates: aggregates.into_iter().map(|aggregate| aggregate.plan).collect(),
    };
    timed.then(|| Draft {
        inputs: inputs.drafts(),
        input_schema: inputs.schema.clone(),
        broadcast_needs: None,
        kind: NodeKind::Window(plan),
        ports: ports(schema, inputs),
        needs,
    })
}

fn ports(schema: Schema, inputs: &Inputs) -> Vec<Port> {
    let none = BTreeSet::new();
    let main = Port { name: "main".to_owned(), schema, has_time: true, inherits: none, inferred: BTreeSet::new() };
    let late = Port {
        name: "late".to_owned(),
        schema: inputs.schema.clone(),
        has_time: true,
        inherits: inputs.schema.fields().iter().map(|field| field.name.clone()).collect(),
        inferred: inputs.inferred(),
    };
    vec![main, late]
}

/// Key columns, bounds, aggregates: every name once.
fn rows(
    key: &[usize],
    window: &WindowSpec,
    aggregates: &[Aggregated],
    input: &Schema,
    errors: &Errors,
) -> Option<Schema> {
    let mut fields: Vec<(Field, String)> = Vec::new();
    fields.extend(key.iter().map(|i| (input.fields()[*i].clone(), "a key column".to_owned())));
    let bound = |name| (Field::new(name, WINDOW_BOUND), "a bound of the window".to_owned());
    let mut good = true;
    for (field, what) in [bound("window_start"), bound("window_end")] {
        if fields.iter().any(|(known, _)| known.name == field.name) {
            let message = format!("the key column `{}` has the name of {what}", field.name);
            errors.add(window.window.span, message);
            good = false;
        }
        fields.push((field, what));
    }
    for (spec, aggregate) in window.aggregates.iter().zip(aggregates) {
        for field in &aggregate.columns {
            if let Some((_, what)) = fields.iter().find(|(known, _)| known.name == field.name) {
                let message = format!("the column `{}` of the aggregate has the name of {what}", field.name);
                errors.add_with_help(spec.name.span, message, "every column of a window's rows needs its own name");
                good = false;
            }
            fields.push((field.clone(), format!("a column of `{}`", spec.name.value)));
        }
    }
    good.then(|| Schema::new(fields.into_iter().map(|(field, _)| field)))
}

fn native(
    name: &Spanned<String>,
    function: Function,
    column: Option<&Spanned<String>>,
    inputs: &Inputs,
    ask: &Asking,
) -> Option<Aggregated> {
    let index = match column {
        Some(column) => Some(inputs.column(column, "aggregated column", "i64", ask)?),
        None => None,
    };
    let field = index.map(|index| &inputs.schema.fields()[index]);
    let plan = |function| AggregatePlan::Native { name: name.value.clone(), function };
    let needs = Needs::of(&inputs.schema, index);
    let (function, data_type) = match (function, index.zip(field)) {
        (Function::Count, _) => (NativeAggregate::Count { column: index }, Some(DataType::I64)),
        (Function::Sum, Some((column, field))) => (NativeAggregate::Sum { column }, sum_type(&field.data_type)),
        (Function::Min, Some((column, field))) => (NativeAggregate::Min { column }, ordered(&field.data_type)),
        (Function::Max, Some((column, field))) => (NativeAggregate::Max { column }, ordered(&field.data_type)),
        (Function::Avg, Some((column, field))) => {
            (NativeAggregate::Avg { column }, sum_type(&field.data_type).map(|_| DataType::F64))
        }
        (_, None) => return None,
    };
    let nullable = field.is_some_and(|field| field.nullable) && !matches!(function, NativeAggregate::Count { .. });
    let Some(data_type) = data_type else {
        let (column, field) = column.zip(field)?;
        let (word, types) = match function {
            NativeAggregate::Min { .. } => ("min", "numbers and times"),
            NativeAggregate::Max { .. } => ("max", "numbers and times"),
            NativeAggregate::Avg { .. } => ("avg", "numbers"),
            _ => ("sum", "numbers"),
        };
        ask.errors.add(column.span, format!("`{word}` takes {types}, and the column is `{field}`"));
        return None;
    };
    Some(Aggregated {
        plan: plan(function),
        columns: vec![Field { name: name.value.clone(), data_type, nullable }],
        needs,
    })
}

fn sum_type(of: &DataType) -> Option<DataType> {
    use DataType::*;
    match of {
        I8 | I16 | I32 | I64 => Some(I64),
        U8 | U16 | U32 | U64 => Some(U64),
        F32 | F64 => Some(F64),
        Decimal { scale, .. } => Some(Decimal { precision: 38, scale: *scale }),
        _ => None,
    }
}

fn ordered(of: &DataType) -> Option<DataType> {
    let times = matches!(of, DataType::Timestamp | DataType::Date | DataType::Duration);
    (times || sum_type(of).is_some()).then(|| of.clone())
}

fn from_plugin(
    name: &Spanned<String>,
    spec: &PluginSpec,
    component: &Component,
    inputs: &Inputs,
    env: &mut dyn Environment,
    ask: &mut Asking,
) -> Option<Aggregated> {
    if !process::needs_met(&component.info.inputs[0], "column", inputs, ask) {
        return None;
    }
    let (plugin, descriptor) = process::open(spec, component, &[inputs], env, ask)?;
    let Some(main) = descriptor.outputs.first() else {
        ask.errors.add(spec.path.span, format!("the aggregate `{}` has no output", component.info.name));
        return None;
    };
    process::unique_columns(&main.columns, "main", spec.path.span, ask.errors)?;
    let columns = match main.columns.fields() {
        [only] => vec![Field { name: name.value.clone(), ..only.clone() }],
        several => several
            .iter()
            .map(|field| Field { name: format!("{}_{}", name.value, field.name), ..field.clone() })
            .collect(),
    };
    let needs = process::needs(component, &descriptor, 0, &inputs.schema);
    Some(Aggregated { plan: AggregatePlan::Plugin { name: name.value.clone(), plugin, descriptor }, columns, needs })
}
