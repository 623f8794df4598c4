//! From the host's columns to the guest's: slices of Arrow's buffers, copied once, into the guest's memory.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, UInt32Array};
use arrow_schema::DataType as A;
use arrow_select::take::take;

use crate::model::value::{Layout, Values};

use super::bindings::wasmill::operator::columns::{
    ColumnParam, ColumnResult, ValuesParam, ValuesResult, VariableParam, VariableResult,
};

/// The columns as they can be borrowed: the guest sees no offset, so slices that have one are copied.
pub fn at_offset_zero(columns: &[ArrayRef]) -> Vec<ArrayRef> {
    columns.iter().map(|column| if starts_at_zero(column) { Arc::clone(column) } else { copy(column) }).collect()
}

fn starts_at_zero(column: &ArrayRef) -> bool {
    let nulls_start = column.nulls().is_none_or(|nulls| nulls.offset() == 0);
    nulls_start
        && match column.data_type() {
            A::Boolean => column.as_boolean().values().offset() == 0,
            A::Utf8 => {
                ends_with_data(column.as_string::<i32>().value_offsets(), column.as_string::<i32>().value_data())
            }
            A::Binary => {
                ends_with_data(column.as_binary::<i32>().value_offsets(), column.as_binary::<i32>().value_data())
            }
            A::List(_) => {
                let list = column.as_list::<i32>();
                let offsets = list.value_offsets();
                offsets[0] == 0
                    && offsets[offsets.len() - 1] as usize == list.values().len()
                    && starts_at_zero(list.values())
            }
            A::Struct(_) => column.as_struct().columns().iter().all(starts_at_zero),
            _ => true,
        }
}

/// Only what the offsets speak of crosses.
fn ends_with_data(offsets: &[i32], data: &[u8]) -> bool {
    offsets[0] == 0 && offsets[offsets.len() - 1] as usize == data.len()
}

fn copy(column: &ArrayRef) -> ArrayRef {
    let rows: UInt32Array = (0..column.len() as u32).collect();
    take(column, &rows, None).expect("every row of a column is inside it")
}

/// `columns` must come from `at_offset_zero`. Nested columns follow their parent.
pub fn columns(columns: &[ArrayRef]) -> Vec<ColumnParam<'_>> {
    let mut out = Vec::with_capacity(columns.len());
    columns.iter().for_each(|column| push(column, &mut out));
    out
}

fn push<'a>(column: &'a ArrayRef, out: &mut Vec<ColumnParam<'a>>) {
    let validity = column.nulls().map(|nulls| bitmap(nulls.validity(), column.len()));
    let values = match column.data_type() {
        A::Boolean => ValuesParam::Booleans(bitmap(column.as_boolean().values().values(), column.len())),
        A::Int8 => ValuesParam::S8s(slice::<Int8Type>(column)),
        A::Int16 => ValuesParam::S16s(slice::<Int16Type>(column)),
        A::Int32 => ValuesParam::S32s(slice::<Int32Type>(column)),
        A::Date32 => ValuesParam::S32s(slice::<Date32Type>(column)),
        A::Int64 => ValuesParam::S64s(slice::<Int64Type>(column)),
        A::Timestamp(..) => ValuesParam::S64s(slice::<TimestampMicrosecondType>(column)),
        A::Duration(_) => ValuesParam::S64s(slice::<DurationMicrosecondType>(column)),
        A::UInt8 => ValuesParam::U8s(slice::<UInt8Type>(column)),
        A::UInt16 => ValuesParam::U16s(slice::<UInt16Type>(column)),
        A::UInt32 => ValuesParam::U32s(slice::<UInt32Type>(column)),
        A::UInt64 => ValuesParam::U64s(slice::<UInt64Type>(column)),
        A::Float32 => ValuesParam::F32s(slice::<Float32Type>(column)),
        A::Float64 => ValuesParam::F64s(slice::<Float64Type>(column)),
        A::Decimal128(..) => ValuesParam::Fixed(column.as_primitive::<Decimal128Type>().values().inner()),
        A::FixedSizeBinary(_) => ValuesParam::Fixed(column.as_fixed_size_binary().value_data()),
        A::Utf8 => {
            let text = column.as_string::<i32>();
            ValuesParam::Variable(VariableParam { offsets: text.value_offsets(), data: text.value_data() })
        }
        A::Binary => {
            let bytes = column.as_binary::<i32>();
            ValuesParam::Variable(VariableParam { offsets: bytes.value_offsets(), data: bytes.value_data() })
        }
        A::List(_) => ValuesParam::Sequences(column.as_list::<i32>().value_offsets()),
        A::Struct(_) => ValuesParam::Structures,
        other => unreachable!("{other} is not a type of `model::schema`"),
    };
    out.push(ColumnParam { validity, values });
    match column.data_type() {
        A::List(_) => push(column.as_list::<i32>().values(), out),
        A::Struct(_) => column.as_struct().columns().iter().for_each(|field| push(field, out)),
        _ => {}
    }
}

fn slice<T: ArrowPrimitiveType>(column: &ArrayRef) -> &[T::Native] {
    column.as_primitive::<T>().values()
}

fn bitmap(bits: &[u8], rows: usize) -> &[u8] {
    &bits[..rows.div_ceil(8)]
}

/// The bitmap of a column of values; `None` = all present.
pub fn presence(values: &Values) -> Option<Vec<u8>> {
    if values.present.iter().all(|present| *present) {
        return None;
    }
    let mut bits = vec![0u8; values.len().div_ceil(8)];
    for (row, present) in values.present.iter().enumerate() {
        bits[row / 8] |= u8::from(*present) << (row % 8);
    }
    Some(bits)
}

/// Encoded values; `presence` is theirs.
pub fn values<'a>(values: &'a Values, presence: Option<&'a Vec<u8>>) -> ColumnParam<'a> {
    ColumnParam {
        validity: presence.map(Vec::as_slice),
        values: match &values.layout {
            Layout::Fixed { data, .. } => ValuesParam::Fixed(data),
            Layout::Variable { offsets, data } => ValuesParam::Variable(VariableParam { offsets, data }),
        },
    }
}

/// A column of a key's type as the result of an imported function, which owns it.
pub fn owned(column: &ArrayRef) -> ColumnResult {
    let columns = at_offset_zero(std::slice::from_ref(column));
    let lowered = self::columns(&columns).remove(0);
    let values = match lowered.values {
        ValuesParam::Booleans(bits) => ValuesResult::Booleans(bits.to_vec()),
        ValuesParam::S8s(values) => ValuesResult::S8s(values.to_vec()),
        ValuesParam::S16s(values) => ValuesResult::S16s(values.to_vec()),
        ValuesParam::S32s(values) => ValuesResult::S32s(values.to_vec()),
        ValuesParam::S64s(values) => ValuesResult::S64s(values.to_vec()),
        ValuesParam::U8s(values) => ValuesResult::U8s(values.to_vec()),
        ValuesParam::U16s(values) => ValuesResult::U16s(values.to_vec()),
        ValuesParam::U32s(values) => ValuesResult::U32s(values.to_vec()),
        ValuesParam::U64s(values) => ValuesResult::U64s(values.to_vec()),
        ValuesParam::F32s(values) => ValuesResult::F32s(values.to_vec()),
        ValuesParam::F64s(values) => ValuesResult::F64s(values.to_vec()),
        ValuesParam::Fixed(data) => ValuesResult::Fixed(data.to_vec()),
        ValuesParam::Variable(VariableParam { offsets, data }) => {
            ValuesResult::Variable(VariableResult { offsets: offsets.to_vec(), data: data.to_vec() })
        }
        _ => unreachable!("{} is not the type of a key", column.data_type()),
    };
    ColumnResult { validity: lowered.validity.map(<[u8]>::to_vec), values }
}

/// Encoded values as the result of an imported function.
pub fn owned_values(values: Values) -> ColumnResult {
    let validity = presence(&values);
    let values = match values.layout {
        Layout::Fixed { data, .. } => ValuesResult::Fixed(data),
        Layout::Variable { offsets, data } => ValuesResult::Variable(VariableResult { offsets, data }),
    };
    ColumnResult { validity, values }
}
