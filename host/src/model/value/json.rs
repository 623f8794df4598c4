//! Encoded values of states (`wit/values.md`) as JSON.

use crate::model::json::Json;
use crate::model::schema::{DataType, Field};

/// Appends a value that is taken off the front of `bytes`; `None` = they are no value of this type.
pub fn read(bytes: &mut &[u8], field: &Field, out: &mut Json) -> Option<()> {
    if field.nullable {
        match take::<1>(bytes)? {
            [0] => {
                out.raw("null");
                return Some(());
            }
            [1] => {}
            _ => return None,
        }
    }
    read_present(bytes, &field.data_type, out)
}

fn read_present(bytes: &mut &[u8], data_type: &DataType, out: &mut Json) -> Option<()> {
    match data_type {
        DataType::Boolean => out.raw(match take(bytes)? {
            [0] => false,
            [1] => true,
            _ => return None,
        }),
        DataType::I8 => out.raw(i8::from_le_bytes(take(bytes)?)),
        DataType::I16 => out.raw(i16::from_le_bytes(take(bytes)?)),
        DataType::I32 => out.raw(i32::from_le_bytes(take(bytes)?)),
        DataType::I64 | DataType::Duration => out.raw(i64::from_le_bytes(take(bytes)?)),
        DataType::U8 => out.raw(u8::from_le_bytes(take(bytes)?)),
        DataType::U16 => out.raw(u16::from_le_bytes(take(bytes)?)),
        DataType::U32 => out.raw(u32::from_le_bytes(take(bytes)?)),
        DataType::U64 => out.raw(u64::from_le_bytes(take(bytes)?)),
        DataType::F32 => out.short_float(f32::from_le_bytes(take(bytes)?)),
        DataType::F64 => out.float(f64::from_le_bytes(take(bytes)?)),
        DataType::Decimal { scale, .. } => out.decimal(i128::from_le_bytes(take(bytes)?), *scale),
        DataType::Timestamp => out.timestamp(i64::from_le_bytes(take(bytes)?)),
        DataType::Date => out.date(i32::from_le_bytes(take(bytes)?)),
        DataType::FixedBytes(width) => out.bytes(take_slice(bytes, *width)?),
        DataType::Bytes => {
            let length = u32::from_le_bytes(take(bytes)?);
            out.bytes(take_slice(bytes, length)?);
        }
        DataType::Text => {
            let length = u32::from_le_bytes(take(bytes)?);
            out.text(std::str::from_utf8(take_slice(bytes, length)?).ok()?);
        }
        DataType::List(item) => {
            out.raw('[');
            for i in 0..u32::from_le_bytes(take(bytes)?) {
                out.raw(if i == 0 { "" } else { "," });
                let before = bytes.len();
                read(bytes, item, out)?;
                // A list of nothing may be said to be of any length.
                (bytes.len() < before).then_some(())?;
            }
            out.raw(']');
        }
        DataType::Struct(fields) => {
            out.raw('{');
            for (i, field) in fields.iter().enumerate() {
                out.name(&field.name, i == 0);
                read(bytes, field, out)?;
            }
            out.raw('}');
        }
    }
    Some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*value)
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (value, rest) = bytes.split_at_checked(length as usize)?;
    *bytes = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::type_name::parse_field;

    fn json(data_type: &str, mut bytes: &[u8]) -> Option<String> {
        let mut out = Json::default();
        read(&mut bytes, &parse_field("x", data_type).unwrap(), &mut out)?;
        bytes.is_empty().then_some(out.0)
    }

    const EXAMPLE: &str = "struct<count: u32, on: bool, name: text?, parts: list<u16>>";

    #[test]
    fn the_example_of_the_contract() {
        let bytes = hex::decode("020100000101020000 00c3a9020000000100 0200".replace(' ', "")).unwrap();
        assert_eq!(json(EXAMPLE, &bytes).unwrap(), r#"{"count":258,"on":true,"name":"é","parts":[1,2]}"#);
        assert_eq!(json(EXAMPLE, &bytes[..bytes.len() - 1]), None);
        assert_eq!(json("i64?", &[0]).unwrap(), "null");
        assert_eq!(json("list<bytes(0)>", &[255; 4]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for data_type in [EXAMPLE, "list<list<text?>>", "decimal(10, 2)", "timestamp", "date", "bytes(7)", "f32"] {
                let _ = json(data_type, &bytes);
            }
        }
    }
}
