//! From the guest's columns to the host's. What a guest returns is hostile: every length, offset, bitmap and text is
//! checked before anybody else sees it, and what takes more memory here than it took to say is charged first. The error
//! says what was wrong, for the plugin's author.

use std::sync::Arc;

use arrow_array::types::*;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray,
    StringArray, StructArray, UInt32Array, new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_select::take::take;

use crate::dataplane::output_budget::OutputBudget;
use crate::model::batch::taken_bytes;
use crate::model::schema::{DataType, Field, Schema};
use crate::model::value::{Layout, Values};

use super::bindings::wasmill::operator::columns::{ColumnResult, ValuesResult};

type Columns = std::vec::IntoIter<ColumnResult>;

/// What is left of an answer's columns, and what they may still become.
struct Lifting<'a> {
    columns: Columns,
    budget: &'a mut OutputBudget,
}

/// The columns of `schema`, each with `rows` rows.
pub fn columns(
    columns: Vec<ColumnResult>,
    schema: &Schema,
    rows: usize,
    budget: &mut OutputBudget,
) -> Result<Vec<ArrayRef>, String> {
    let mut lifting = Lifting { columns: columns.into_iter(), budget };
    let lifted: Vec<ArrayRef> =
        schema.fields().iter().map(|field| column(&mut lifting, field, rows)).collect::<Result<_, _>>()?;
    match lifting.columns.len() {
        0 => Ok(lifted),
        more => Err(format!("{more} more columns than its schema ({schema}) has")),
    }
}

fn column(lifting: &mut Lifting<'_>, field: &Field, rows: usize) -> Result<ArrayRef, String> {
    let within = |reason: String| format!("column `{}`: {reason}", field.name);
    let ColumnResult { validity, values } = lifting.columns.next().ok_or_else(|| within("it is missing".to_owned()))?;
    let nulls = validity.map(|bits| null_buffer(bits, rows)).transpose().map_err(within)?;
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let array = array(lifting, values, nulls, &field.data_type, rows).map_err(within)?;
    if !field.nullable && array.null_count() > 0 {
        return Err(within("it has nulls, and its schema says that it has none".to_owned()));
    }
    Ok(array)
}

fn null_buffer(bits: Vec<u8>, rows: usize) -> Result<NullBuffer, String> {
    Ok(NullBuffer::new(boolean_buffer(bits, rows)?))
}

fn boolean_buffer(bits: Vec<u8>, rows: usize) -> Result<BooleanBuffer, String> {
    if bits.len() != rows.div_ceil(8) {
        return Err(format!("a bitmap of {} bytes for {rows} rows", bits.len()));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows))
}

fn array(
    lifting: &mut Lifting<'_>,
    values: ValuesResult,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
    rows: usize,
) -> Result<ArrayRef, String> {
    use DataType as D;
    use ValuesResult as V;
    Ok(match (data_type, values) {
        (_, V::Nulls) => {
            lifting.budget.charge(null_bytes(data_type, rows))?;
            new_null_array(&data_type.to_arrow(), rows)
        }
        (_, V::Dictionary(dictionary)) => {
            check_length(dictionary.indices.len(), rows)?;
            // The type says how deep all else can be.
            if let [ColumnResult { values: V::Dictionary(_), .. }, ..] = lifting.columns.as_slice() {
                return Err("a dictionary of a dictionary".to_owned());
            }
            let inner = Field { name: "dictionary".to_owned(), data_type: data_type.clone(), nullable: true };
            let values = column(lifting, &inner, dictionary.size as usize)?;
            let indices = UInt32Array::new(dictionary.indices.into(), nulls);
            if let Some(index) = indices.iter().flatten().find(|index| *index >= dictionary.size) {
                return Err(format!("index {index} into a dictionary of {}", dictionary.size));
            }
            lifting.budget.charge(null_bytes(data_type, indices.null_count()))?;
            lifting.budget.charge(taken_bytes(&values, indices.iter().flatten()))?;
            take(&values, &indices, None).map_err(|error| error.to_string())?
        }
        (D::Boolean, V::Booleans(bits)) => Arc::new(BooleanArray::new(boolean_buffer(bits, rows)?, nulls)),
        (D::I8, V::S8s(values)) => primitive::<Int8Type>(values, nulls, data_type, rows)?,
        (D::I16, V::S16s(values)) => primitive::<Int16Type>(values, nulls, data_type, rows)?,
        (D::I32, V::S32s(values)) => primitive::<Int32Type>(values, nulls, data_type, rows)?,
        (D::Date, V::S32s(values)) => primitive::<Date32Type>(values, nulls, data_type, rows)?,
        (D::I64, V::S64s(values)) => primitive::<Int64Type>(values, nulls, data_type, rows)?,
        (D::Timestamp, V::S64s(values)) => primitive::<TimestampMicrosecondType>(values, nulls, data_type, rows)?,
        (D::Duration, V::S64s(values)) => primitive::<DurationMicrosecondType>(values, nulls, data_type, rows)?,
        (D::U8, V::U8s(values)) => primitive::<UInt8Type>(values, nulls, data_type, rows)?,
        (D::U16, V::U16s(values)) => primitive::<UInt16Type>(values, nulls, data_type, rows)?,
        (D::U32, V::U32s(values)) => primitive::<UInt32Type>(values, nulls, data_type, rows)?,
        (D::U64, V::U64s(values)) => primitive::<UInt64Type>(values, nulls, data_type, rows)?,
        (D::F32, V::F32s(values)) => primitive::<Float32Type>(values, nulls, data_type, rows)?,
        (D::F64, V::F64s(values)) => primitive::<Float64Type>(values, nulls, data_type, rows)?,
        (D::Decimal { .. }, V::Fixed(bytes)) => {
            let (numbers, rest) = bytes.as_chunks::<16>();
            if !rest.is_empty() {
                return Err(format!("{} bytes of 16-byte decimals", bytes.len()));
            }
            let numbers = numbers.iter().map(|number| i128::from_le_bytes(*number)).collect();
            primitive::<Decimal128Type>(numbers, nulls, data_type, rows)?
        }
        (D::FixedBytes(width), V::Fixed(bytes)) => {
            check_length(bytes.len(), rows * *width as usize)?;
            let array = FixedSizeBinaryArray::try_new(*width as i32, Buffer::from_vec(bytes), nulls);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
        (D::Text, V::Variable(text)) => {
            let offsets = offset_buffer(text.offsets, rows, text.data.len())?;
            let array = StringArray::try_new(offsets, Buffer::from_vec(text.data), nulls);
            Arc::new(array.map_err(|error| format!("it is not UTF-8: {error}"))?)
        }
        (D::Bytes, V::Variable(bytes)) => {
            let offsets = offset_buffer(bytes.offsets, rows, bytes.data.len())?;
            let array = BinaryArray::try_new(offsets, Buffer::from_vec(bytes.data), nulls);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
        (D::List(item), V::Sequences(offsets)) => {
            let last = offsets.last().copied().unwrap_or(0);
            let size = usize::try_from(last).map_err(|_| format!("the offset {last}"))?;
            let offsets = offset_buffer(offsets, rows, size)?;
            let items = column(lifting, item, size)?;
            let array = ListArray::try_new(Arc::new(item.to_arrow()), offsets, items, nulls);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
        (D::Struct(fields), V::Structures) => {
            // They may be without fields, and still be as many as the offsets of a list say.
            lifting.budget.charge(rows)?;
            let arrays = fields.iter().map(|field| column(lifting, field, rows)).collect::<Result<Vec<_>, _>>()?;
            let fields = fields.iter().map(Field::to_arrow).collect();
            let array = StructArray::try_new_with_length(fields, arrays, nulls, rows);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
        (expected, found) => return Err(format!("its values are {}, not those of {expected}", layout(&found))),
    })
}

/// What a column of nulls takes.
fn null_bytes(data_type: &DataType, rows: usize) -> usize {
    let values = match data_type {
        DataType::Text | DataType::Bytes | DataType::List(_) => rows.saturating_mul(size_of::<i32>()),
        DataType::Struct(fields) => {
            fields.iter().fold(0, |bytes, field| null_bytes(&field.data_type, rows).saturating_add(bytes))
        }
        other => rows.saturating_mul(other.fixed_width().unwrap_or(0)),
    };
    values.saturating_add(rows.div_ceil(8))
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
    rows: usize,
) -> Result<ArrayRef, String> {
    check_length(values.len(), rows)?;
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls).map_err(|error| error.to_string())?;
    Ok(match data_type {
        DataType::Timestamp | DataType::Decimal { .. } => Arc::new(array.with_data_type(data_type.to_arrow())),
        _ => Arc::new(array),
    })
}

fn check_length(found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found} values where there should be {expected}")) }
}

fn offset_buffer(offsets: Vec<i32>, rows: usize, size: usize) -> Result<OffsetBuffer<i32>, String> {
    check_offsets(&offsets, rows, size)?;
    Ok(OffsetBuffer::new(offsets.into()))
}

fn check_offsets(offsets: &[i32], rows: usize, size: usize) -> Result<(), String> {
    if offsets.len() != rows + 1 {
        return Err(format!("{} offsets for {rows} rows", offsets.len()));
    }
    if offsets[0] != 0 {
        return Err(format!("its first offset is {}", offsets[0]));
    }
    // All of them are looked at, so that it takes vector instructions.
    if offsets.array_windows().fold(false, |falls, [before, after]| falls | (before > after)) {
        let at = offsets.windows(2).position(|pair| pair[0] > pair[1]).unwrap_or(0);
        return Err(format!("its offsets fall from {} to {} at row {at}", offsets[at], offsets[at + 1]));
    }
    let last = offsets[rows];
    if last as usize > size {
        return Err(format!("its last offset is {last}, behind its {size} bytes"));
    }
    Ok(())
}

fn layout(values: &ValuesResult) -> &'static str {
    use ValuesResult as V;
    match values {
        V::Nulls => "nulls",
        V::Booleans(_) => "booleans",
        V::S8s(_) => "s8s",
        V::S16s(_) => "s16s",
        V::S32s(_) => "s32s",
        V::S64s(_) => "s64s",
        V::U8s(_) => "u8s",
        V::U16s(_) => "u16s",
        V::U32s(_) => "u32s",
        V::U64s(_) => "u64s",
        V::F32s(_) => "f32s",
        V::F64s(_) => "f64s",
        V::Fixed(_) => "fixed",
        V::Variable(_) => "variable",
        V::Sequences(_) => "sequences",
        V::Structures => "structures",
        V::Dictionary(_) => "dictionary",
    }
}

/// Encoded values of a state whose values have `width` bytes, or any length.
pub fn values(
    column: ColumnResult,
    width: Option<usize>,
    rows: usize,
    budget: &mut OutputBudget,
) -> Result<Values, String> {
    let present = match column.validity {
        None => vec![!matches!(column.values, ValuesResult::Nulls); rows],
        Some(bits) if bits.len() != rows.div_ceil(8) => {
            return Err(format!("a bitmap of {} bytes for {rows} groups", bits.len()));
        }
        Some(bits) => (0..rows).map(|row| bits[row / 8] >> (row % 8) & 1 == 1).collect(),
    };
    let layout = match (column.values, width) {
        (ValuesResult::Nulls, width) => {
            budget.charge(rows.saturating_mul(width.unwrap_or(size_of::<i32>())))?;
            return Ok(absent(rows, width));
        }
        (ValuesResult::Fixed(data), Some(width)) => {
            check_length(data.len(), rows * width)?;
            Layout::Fixed { width, data }
        }
        (ValuesResult::Variable(variable), None) => {
            check_offsets(&variable.offsets, rows, variable.data.len())?;
            Layout::Variable { offsets: variable.offsets, data: variable.data }
        }
        (found, Some(width)) => return Err(format!("{} where values of {width} bytes belong", layout(&found))),
        (found, None) => return Err(format!("{} where values of any length belong", layout(&found))),
    };
    Ok(Values { present, layout })
}

fn absent(rows: usize, width: Option<usize>) -> Values {
    let mut values = Values::new(width);
    (0..rows).for_each(|_| values.push(None));
    values
}

#[cfg(test)]
mod tests;
