//! Encoded keys as JSON, for people: one that is taken off the front of something longer too.

use std::fmt::Display;

use crate::model::json::Json;
use crate::model::schema::{DataType, Field};

use super::{f32_of, f64_of, flip, take, take_tag, take_terminated};

/// Appends an object of the columns of a key that is taken off the front of `bytes`; `None` = they are no key of these
/// fields.
pub fn read(bytes: &mut &[u8], fields: &[Field], out: &mut Json) -> Option<()> {
    out.raw('{');
    for (i, field) in fields.iter().enumerate() {
        out.name(&field.name, i == 0);
        read_column(bytes, &field.data_type, out).ok()?;
    }
    out.raw('}');
    Some(())
}

/// Appends one column of a key. The error says what is wrong with it.
pub fn read_column(bytes: &mut &[u8], data_type: &DataType, out: &mut Json) -> Result<(), String> {
    match data_type {
        DataType::Boolean => number(bytes, out, |b: [u8; 1]| b != [0])?,
        DataType::I8 => number(bytes, out, |b| i8::from_be_bytes(flip(b)))?,
        DataType::I16 => number(bytes, out, |b| i16::from_be_bytes(flip(b)))?,
        DataType::I32 => number(bytes, out, |b| i32::from_be_bytes(flip(b)))?,
        DataType::I64 | DataType::Duration => number(bytes, out, |b| i64::from_be_bytes(flip(b)))?,
        DataType::U8 => number(bytes, out, u8::from_be_bytes)?,
        DataType::U16 => number(bytes, out, u16::from_be_bytes)?,
        DataType::U32 => number(bytes, out, u32::from_be_bytes)?,
        DataType::U64 => number(bytes, out, u64::from_be_bytes)?,
        DataType::F32 => written(take(bytes)?, out, |b, out| out.short_float(f32_of(u32::from_be_bytes(b)))),
        DataType::F64 => written(take(bytes)?, out, |b, out| out.float(f64_of(u64::from_be_bytes(b)))),
        DataType::Decimal { scale, .. } => {
            written(take(bytes)?, out, |b, out| out.decimal(i128::from_be_bytes(flip(b)), *scale))
        }
        DataType::Timestamp => written(take(bytes)?, out, |b, out| out.timestamp(i64::from_be_bytes(flip(b)))),
        DataType::Date => written(take(bytes)?, out, |b, out| out.date(i32::from_be_bytes(flip(b)))),
        DataType::FixedBytes(width) => {
            let value = match take_tag(bytes)? {
                false => None,
                true => Some(bytes.split_off(..*width as usize).ok_or("it is cut short")?),
            };
            written(value, out, |value, out| out.bytes(value))
        }
        DataType::Text => match take_terminated(bytes)? {
            None => out.raw("null"),
            Some(text) => out.text(std::str::from_utf8(&text).map_err(|error| format!("it is not UTF-8: {error}"))?),
        },
        DataType::Bytes => written(take_terminated(bytes)?, out, |value, out| out.bytes(&value)),
        DataType::List(_) | DataType::Struct(_) => return Err(format!("{data_type} is no type of a key")),
    }
    Ok(())
}

fn number<const N: usize, T: Display>(
    bytes: &mut &[u8],
    out: &mut Json,
    decode: impl FnOnce([u8; N]) -> T,
) -> Result<(), String> {
    written(take(bytes)?, out, |value, out| out.raw(decode(value)));
    Ok(())
}

/// `None` = null.
fn written<T>(value: Option<T>, out: &mut Json, write: impl FnOnce(T, &mut Json)) {
    match value {
        None => out.raw("null"),
        Some(value) => write(value, out),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Keys;
    use super::*;

    proptest! {
        #[test]
        fn a_key_is_its_columns(
            number: Option<i64>, float in prop::option::of(-1e300f64..1e300), bytes: Option<Vec<u8>>, text: Option<String>
        ) {
            let columns: [ArrayRef; 4] = [
                Arc::new(Int64Array::from(vec![number])),
                Arc::new(Float64Array::from(vec![float])),
                Arc::new(BinaryArray::from(vec![bytes.as_deref()])),
                Arc::new(StringArray::from(vec![text.as_deref()])),
            ];
            let mut keys = Keys::default();
            keys.encode(&columns, 1);
            let fields = [DataType::I64, DataType::F64, DataType::Bytes, DataType::Text];
            let fields: Vec<Field> = "abcd".chars().zip(fields).map(|(n, t)| Field::nullable(&n.to_string(), t)).collect();
            let (mut rest, mut out) = (keys.get(0), Json::default());
            read(&mut rest, &fields, &mut out).unwrap();
            prop_assert!(rest.is_empty());
            let expected = json!({ "a": number, "b": float.map(|f| f + 0.0), "c": bytes.map(hex::encode), "d": text });
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&out.0).unwrap(), expected);
        }
    }
}
