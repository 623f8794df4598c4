//! A field's text into a column.

use std::str::FromStr;

use super::super::column::{Column, Values};
use super::super::text;

/// Pushes the value and commits it.
pub fn push(column: &mut Column, field: &[u8], quoted: bool) -> Result<(), String> {
    let takes_empty = matches!(column.values, Values::Text(_) | Values::Bytes(_));
    if field.is_empty() && column.field.nullable && !(quoted && takes_empty) {
        column.push_null();
        return Ok(());
    }
    let field = std::str::from_utf8(field).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    if push_present(&mut column.values, field)? {
        column.commit();
        return Ok(());
    }
    let found = if field.is_empty() { "nothing".to_owned() } else { format!("`{}`", text::shorten(field)) };
    Err(format!("found {found}, expected {}", expected(column)))
}

fn expected(column: &Column) -> String {
    let form = match column.values {
        Values::Timestamp(_) => ", a time as in RFC 3339",
        Values::Date(_) => " such as 2015-05-17",
        Values::Duration(_) => ", a whole number of microseconds",
        Values::Bytes(_) | Values::FixedBytes { .. } => " as pairs of hexadecimal digits",
        _ => "",
    };
    format!("{}{form}", column.field.data_type)
}

/// Whether the field is such a value.
fn push_present(values: &mut Values, field: &str) -> Result<bool, String> {
    Ok(match values {
        Values::Boolean(bits) => field.parse().map(|bit| bits.append(bit)).is_ok(),
        Values::I8(values) => parse(values, field),
        Values::I16(values) => parse(values, field),
        Values::I32(values) => parse(values, field),
        Values::I64(values) | Values::Duration(values) => parse(values, field),
        Values::U8(values) => parse(values, field),
        Values::U16(values) => parse(values, field),
        Values::U32(values) => parse(values, field),
        Values::U64(values) => parse(values, field),
        Values::F32(values) => parse(values, field),
        Values::F64(values) => parse(values, field),
        Values::Decimal { values, precision, scale } => {
            let number = text::decimal(field, *precision, *scale);
            values
                .push(number.map_err(|why| {
                    format!("{} {why}, expected decimal({precision}, {scale})", text::shorten(field))
                })?);
            true
        }
        Values::Text(runs) => {
            runs.push(field.as_bytes());
            true
        }
        Values::Bytes(runs) => {
            let read = text::bytes(field, &mut runs.data);
            runs.end();
            read
        }
        Values::FixedBytes { width, data } => field.len() == *width * 2 && text::bytes(field, data),
        Values::Timestamp(values) => text::timestamp(field).map(|time| values.push(time)).is_some(),
        Values::Date(values) => text::date(field).map(|date| values.push(date)).is_some(),
        Values::List { .. } | Values::Struct { .. } => unreachable!("the decoder refuses nested columns"),
    })
}

fn parse<T: FromStr>(values: &mut Vec<T>, field: &str) -> bool {
    field.parse().map(|value| values.push(value)).is_ok()
}
