//! Encoded keys as JSON. Unlike `decode` it takes any bytes: people read damaged state too.

use crate::model::json::Json;
use crate::model::schema::{DataType, Field};

use super::{END, ESCAPED, NULL, VALID, flip};

/// Appends an object of the columns of a key that is taken off the front of `bytes`; `None` = they are no key of these
/// fields.
pub fn read(bytes: &mut &[u8], fields: &[Field], out: &mut Json) -> Option<()> {
    out.raw('{');
    for (i, field) in fields.iter().enumerate() {
        out.name(&field.name, i == 0);
        let [tag] = take(bytes)?;
        match tag {
            NULL => out.raw("null"),
            VALID => read_column(bytes, &field.data_type, out)?,
            _ => return None,
        }
    }
    out.raw('}');
    Some(())
}

fn read_column(bytes: &mut &[u8], data_type: &DataType, out: &mut Json) -> Option<()> {
    match data_type {
        DataType::Boolean => out.raw(take::<1>(bytes)? != [0]),
        DataType::I8 => out.raw(i8::from_be_bytes(flip(take(bytes)?))),
        DataType::I16 => out.raw(i16::from_be_bytes(flip(take(bytes)?))),
        DataType::I32 => out.raw(i32::from_be_bytes(flip(take(bytes)?))),
        DataType::I64 | DataType::Duration => out.raw(i64::from_be_bytes(flip(take(bytes)?))),
        DataType::U8 => out.raw(u8::from_be_bytes(take(bytes)?)),
        DataType::U16 => out.raw(u16::from_be_bytes(take(bytes)?)),
        DataType::U32 => out.raw(u32::from_be_bytes(take(bytes)?)),
        DataType::U64 => out.raw(u64::from_be_bytes(take(bytes)?)),
        DataType::F32 => out.short_float(super::f32_of(u32::from_be_bytes(take(bytes)?))),
        DataType::F64 => out.float(super::f64_of(u64::from_be_bytes(take(bytes)?))),
        DataType::Decimal { scale, .. } => out.decimal(i128::from_be_bytes(flip(take(bytes)?)), *scale),
        DataType::Timestamp => out.timestamp(i64::from_be_bytes(flip(take(bytes)?))),
        DataType::Date => out.date(i32::from_be_bytes(flip(take(bytes)?))),
        DataType::FixedBytes(width) => {
            let (value, rest) = bytes.split_at_checked(*width as usize)?;
            *bytes = rest;
            out.bytes(value);
        }
        DataType::Text => out.text(&String::from_utf8(take_terminated(bytes)?).ok()?),
        DataType::Bytes => out.bytes(&take_terminated(bytes)?),
        DataType::List(_) | DataType::Struct(_) => return None,
    }
    Some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*value)
}

fn take_terminated(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    loop {
        let end = memchr::memchr(END, bytes)?;
        value.extend_from_slice(&bytes[..end]);
        *bytes = &bytes[end + 1..];
        match bytes.split_first() {
            Some((&ESCAPED, rest)) => {
                value.push(END);
                *bytes = rest;
            }
            _ => return Some(value),
        }
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
