//! Schemas and descriptors across the boundary. What comes from a guest is checked; the error is for its author.

use crate::model::schema::{DataType, Field, Schema};
use crate::model::time::Micros;
use crate::plan::descriptor::{
    Clock, Descriptor, InputNeed, OperatorInfo, OperatorKind, OutputPort, StateInfo, StateKind, TimeToLive, TimerInfo,
};
use crate::plan::graph::BROADCAST_INPUT;

use super::bindings::wasmill::operator::descriptors as wit;
use super::bindings::wasmill::operator::schemas::{
    DataType as WitType, DecimalType, FieldParam, FieldResult, IntegerType, SchemaResult,
};

/// Nested types, at most this deep: reading them is recursive.
const DEPTH_MAX: usize = 16;

/// Columns, states, ports, timers or metrics of an operator, each.
const ITEMS_MAX: usize = 1_000;

/// The fields of a schema in the flat form of the contract.
pub fn lower_schema(schema: &Schema) -> Vec<FieldParam<'_>> {
    let mut out = Vec::new();
    schema.fields().iter().for_each(|field| lower_field(field, &mut out));
    out
}

fn lower_field<'a>(field: &'a Field, out: &mut Vec<FieldParam<'a>>) {
    use DataType as D;
    let data_type = match &field.data_type {
        D::Boolean => WitType::Boolean,
        D::I8 => WitType::Integer(IntegerType::S8),
        D::I16 => WitType::Integer(IntegerType::S16),
        D::I32 => WitType::Integer(IntegerType::S32),
        D::I64 => WitType::Integer(IntegerType::S64),
        D::U8 => WitType::Integer(IntegerType::U8),
        D::U16 => WitType::Integer(IntegerType::U16),
        D::U32 => WitType::Integer(IntegerType::U32),
        D::U64 => WitType::Integer(IntegerType::U64),
        D::F32 => WitType::Float32,
        D::F64 => WitType::Float64,
        D::Decimal { precision, scale } => WitType::Decimal(DecimalType { precision: *precision, scale: *scale }),
        D::Text => WitType::Text,
        D::Bytes => WitType::Bytes,
        D::FixedBytes(width) => WitType::FixedBytes(*width),
        D::Timestamp => WitType::Timestamp,
        D::Date => WitType::Date,
        D::Duration => WitType::Duration,
        D::List(_) => WitType::Sequence,
        D::Struct(fields) => WitType::Structure(fields.len() as u32),
    };
    out.push(FieldParam { name: &field.name, data_type, nullable: field.nullable });
    match &field.data_type {
        D::List(item) => lower_field(item, out),
        D::Struct(fields) => fields.iter().for_each(|field| lower_field(field, out)),
        _ => {}
    }
}

pub fn lift_schema(schema: SchemaResult) -> Result<Schema, String> {
    if schema.fields.len() > ITEMS_MAX {
        return Err(format!("a schema of {} fields; at most {ITEMS_MAX} are allowed", schema.fields.len()));
    }
    let mut flat = schema.fields.into_iter();
    let mut fields: Vec<Field> = Vec::new();
    while let Some(first) = flat.next() {
        let field = lift_field(first, &mut flat, 0)?;
        if fields.iter().any(|other| other.name == field.name) {
            return Err(format!("the column `{}` stands twice in a schema", field.name));
        }
        fields.push(field);
    }
    Ok(Schema::new(fields))
}

fn lift_field(field: FieldResult, rest: &mut impl Iterator<Item = FieldResult>, depth: usize) -> Result<Field, String> {
    if depth > DEPTH_MAX {
        return Err(format!("the type of `{}` nests more than {DEPTH_MAX} deep", field.name));
    }
    let mut nested = || {
        let next = rest.next().ok_or_else(|| format!("the fields nested in `{}` are missing", field.name))?;
        lift_field(next, rest, depth + 1)
    };
    let data_type = match field.data_type {
        WitType::Boolean => DataType::Boolean,
        WitType::Integer(integer) => match integer {
            IntegerType::S8 => DataType::I8,
            IntegerType::S16 => DataType::I16,
            IntegerType::S32 => DataType::I32,
            IntegerType::S64 => DataType::I64,
            IntegerType::U8 => DataType::U8,
            IntegerType::U16 => DataType::U16,
            IntegerType::U32 => DataType::U32,
            IntegerType::U64 => DataType::U64,
        },
        WitType::Float32 => DataType::F32,
        WitType::Float64 => DataType::F64,
        WitType::Decimal(DecimalType { precision, scale }) => match precision {
            1..=38 if scale.unsigned_abs() <= precision => DataType::Decimal { precision, scale },
            _ => return Err(format!("`{}` is a decimal({precision}, {scale})", field.name)),
        },
        WitType::Text => DataType::Text,
        WitType::Bytes => DataType::Bytes,
        WitType::FixedBytes(width @ 1..=65_536) => DataType::FixedBytes(width),
        WitType::FixedBytes(width) => return Err(format!("`{}` is of {width} bytes", field.name)),
        WitType::Timestamp => DataType::Timestamp,
        WitType::Date => DataType::Date,
        WitType::Duration => DataType::Duration,
        WitType::Sequence => DataType::List(Box::new(nested()?)),
        WitType::Structure(fields) => DataType::Struct((0..fields).map(|_| nested()).collect::<Result<Vec<_>, _>>()?),
    };
    Ok(Field { name: field.name, data_type, nullable: field.nullable })
}

pub fn lift_info(info: wit::OperatorInfo) -> Result<OperatorInfo, String> {
    let kind = match info.kind {
        wit::Kind::Process => OperatorKind::Process,
        wit::Kind::Aggregate => OperatorKind::Aggregate,
        wit::Kind::Join | wit::Kind::Pattern => {
            return Err(format!("operator `{}` is of a kind that this version does not run", info.name));
        }
    };
    let inputs = info
        .inputs
        .into_iter()
        .map(|need| Ok(InputNeed { name: need.name, columns: lift_schema(need.columns)?, generic: need.generic }));
    let inputs = inputs.collect::<Result<Vec<_>, String>>()?;
    let inputs_max = match kind {
        OperatorKind::Process => 1 + BROADCAST_INPUT,
        OperatorKind::Aggregate => 1,
    };
    if inputs.is_empty() || inputs.len() > inputs_max {
        let (name, inputs) = (&info.name, inputs.len());
        return Err(format!("operator `{name}` has {inputs} inputs; this version gives it up to {inputs_max}"));
    }
    Ok(OperatorInfo {
        name: info.name,
        kind,
        summary: info.summary,
        inputs,
        keyed: info.keyed,
        key: lift_schema(info.key)?,
        config_schema: info.config_schema,
    })
}

/// `inputs` are the schemas that the operator was opened on.
pub fn lift_descriptor(descriptor: wit::Descriptor, inputs: &[Schema]) -> Result<Descriptor, String> {
    let reads = lift_reads(descriptor.reads, inputs)?;
    let outputs = descriptor.outputs.into_iter().map(|port| {
        let extends = port.inheritance == wit::Inheritance::Extends;
        Ok(OutputPort { name: port.name, columns: lift_schema(port.columns)?, extends })
    });
    let outputs = outputs.collect::<Result<Vec<_>, String>>()?;
    let states = descriptor.states.into_iter().map(lift_state).collect::<Result<Vec<_>, _>>()?;
    let timers =
        descriptor.timers.into_iter().map(|timer| TimerInfo { name: timer.name, clock: lift_clock(timer.clock) });
    let timers: Vec<TimerInfo> = timers.collect();
    unique("output port", outputs.iter().map(|port| port.name.as_str()))?;
    unique("state", states.iter().map(|state| state.name.as_str()))?;
    unique("timer", timers.iter().map(|timer| timer.name.as_str()))?;
    unique("counter", descriptor.counters.iter().map(String::as_str))?;
    unique("histogram", descriptor.histograms.iter().map(String::as_str))?;
    if outputs.is_empty() {
        return Err("it has no output port".to_owned());
    }
    let broadcast = states.iter().find(|state| state.kind == StateKind::Broadcast);
    if let Some(state) = broadcast.filter(|_| inputs.len() <= BROADCAST_INPUT) {
        return Err(format!("state `{}` is broadcast state, and it has no broadcast input", state.name));
    }
    Ok(Descriptor {
        reads,
        reads_times: descriptor.reads_times,
        outputs,
        states,
        timers,
        counters: descriptor.counters,
        histograms: descriptor.histograms,
    })
}

fn lift_reads(reads: Vec<Vec<u32>>, inputs: &[Schema]) -> Result<Vec<Vec<usize>>, String> {
    if reads.len() != inputs.len() {
        return Err(format!("it reads {} inputs and has {}", reads.len(), inputs.len()));
    }
    for (columns, input) in reads.iter().zip(inputs) {
        if let Some(column) = columns.iter().find(|column| **column as usize >= input.fields().len()) {
            return Err(format!("it reads column {column} of an input that has {}", input.fields().len()));
        }
    }
    Ok(reads.into_iter().map(|columns| columns.into_iter().map(|column| column as usize).collect()).collect())
}

fn lift_state(state: wit::StateInfo) -> Result<StateInfo, String> {
    let kind = match state.kind {
        wit::StateKind::Value => StateKind::Value,
        wit::StateKind::Reducing => StateKind::Reducing,
        wit::StateKind::Aggregating => StateKind::Aggregating,
        wit::StateKind::Sequence => StateKind::List,
        wit::StateKind::Map => StateKind::Map,
        wit::StateKind::OperatorSplit => StateKind::OperatorSplit,
        wit::StateKind::OperatorUnion => StateKind::OperatorUnion,
        wit::StateKind::Broadcast => StateKind::Broadcast,
    };
    let schema = lift_schema(state.value_type)?;
    let [value] = schema.fields() else {
        return Err(format!("the value of state `{}` has {} fields, not one", state.name, schema.fields().len()));
    };
    let key = lift_state_key(kind, state.key_type).map_err(|reason| format!("state `{}`: {reason}", state.name))?;
    let time_to_live = state.time_to_live.map(|time_to_live| TimeToLive {
        length: Micros(i64::try_from(time_to_live.micros).unwrap_or(i64::MAX)),
        clock: lift_clock(time_to_live.clock),
        refreshed_by_reads: time_to_live.refresh == wit::Refresh::OnReadAndWrite,
    });
    if kind == StateKind::Broadcast && time_to_live.is_some() {
        return Err(format!("state `{}` is broadcast state, which does not expire", state.name));
    }
    let (value, version) = (value.clone(), state.version);
    Ok(StateInfo { name: state.name, kind, key, value, defaults: state.defaults, version, time_to_live })
}

fn lift_state_key(kind: StateKind, key: Option<SchemaResult>) -> Result<Option<Field>, String> {
    let key = key.map(lift_schema).transpose()?;
    match (kind, key) {
        (kind, None) if kind.is_map() => Err("it is a map without a key type".to_owned()),
        (kind, Some(key)) if kind.is_map() => match key.fields() {
            [key] if key.data_type.is_key() && !key.nullable => Ok(Some(key.clone())),
            _ => Err(format!("`{key}` cannot be the key of a map: it is one field, neither nullable nor nested")),
        },
        (_, Some(_)) => Err("it has a key type and is no map".to_owned()),
        (_, None) => Ok(None),
    }
}

fn lift_clock(clock: wit::Clock) -> Clock {
    match clock {
        wit::Clock::EventTime => Clock::EventTime,
        wit::Clock::ProcessingTime => Clock::ProcessingTime,
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("the {what} `{name}` stands twice"));
        }
        if seen.len() > ITEMS_MAX {
            return Err(format!("more than {ITEMS_MAX} of the kind {what}"));
        }
    }
    Ok(())
}
