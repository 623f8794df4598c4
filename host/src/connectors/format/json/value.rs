//! A JSON value into a column.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::super::column::{Column, Values};
use super::super::text;
use super::object::{Object, Path};

/// Pushes the value and commits it.
pub struct Value<'c> {
    pub column: &'c mut Column,
    pub path: &'c mut Path,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.column.field.nullable { json.deserialize_option(self) } else { self.present(json) }
    }
}

/// A value that may be null.
impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or null", self.column.field.data_type)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.column.push_null();
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.present(json)
    }
}

impl Value<'_> {
    #[inline]
    fn present<'de, D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let row = self.column.len();
        match &mut self.column.values {
            Values::Text(runs) => json.deserialize_str(Text("text", |text: &str| {
                runs.push(text.as_bytes());
                true
            })),
            Values::I64(values) => json.deserialize_i64(Integer(values)),
            Values::I8(values) => json.deserialize_i64(Integer(values)),
            Values::I16(values) => json.deserialize_i64(Integer(values)),
            Values::I32(values) => json.deserialize_i64(Integer(values)),
            Values::U8(values) => json.deserialize_u64(Integer(values)),
            Values::U16(values) => json.deserialize_u64(Integer(values)),
            Values::U32(values) => json.deserialize_u64(Integer(values)),
            Values::U64(values) => json.deserialize_u64(Integer(values)),
            Values::Duration(values) => json.deserialize_i64(Integer(values)),
            Values::F32(values) => json.deserialize_f32(Float("f32", |n| push_f32(values, n))),
            Values::F64(values) => json.deserialize_f64(Float("f64", |n| {
                values.push(n);
                n.is_finite()
            })),
            Values::Boolean(bits) => bool::deserialize(json).map(|bit| bits.append(bit)),
            Values::Decimal { values, precision, scale } => {
                let number = <&RawValue>::deserialize(json)?;
                push_decimal(values, number.get(), *precision, *scale)
            }
            Values::Bytes(runs) => {
                json.deserialize_str(Text("bytes as pairs of hexadecimal digits", |digits: &str| {
                    let read = text::bytes(digits, &mut runs.data);
                    runs.end();
                    read
                }))
            }
            Values::FixedBytes { width, data } => {
                let width = *width;
                let expected = fmt::from_fn(move |f| write!(f, "{width} bytes as pairs of hexadecimal digits"));
                json.deserialize_str(Text(expected, |digits: &str| {
                    digits.len() == width * 2 && text::bytes(digits, data)
                }))
            }
            Values::Timestamp(values) => json.deserialize_str(Text("a time as in RFC 3339", |time: &str| {
                text::timestamp(time).map(|time| values.push(time)).is_some()
            })),
            Values::Date(values) => json.deserialize_str(Text("a date such as 2015-05-17", |date: &str| {
                text::date(date).map(|date| values.push(date)).is_some()
            })),
            Values::List { item, offsets, .. } => {
                json.deserialize_seq(Items { item, path: self.path })?;
                offsets.push(item.len() as i32);
                Ok(())
            }
            Values::Struct { fields, .. } => Object { columns: fields, row, path: self.path }.deserialize(json),
        }?;
        self.column.commit();
        Ok(())
    }
}

/// A text that the closure takes, or refuses with `false`; the other part says what is expected.
struct Text<X, F>(X, F);

impl<X: fmt::Display, F: FnMut(&str) -> bool> Visitor<'_> for Text<X, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }

    #[inline]
    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if (self.1)(text) {
            return Ok(());
        }
        Err(E::invalid_value(Unexpected::Str(&text::shorten(text)), &self))
    }
}

struct Integer<'c, T>(&'c mut Vec<T>);

impl<T: Whole> Visitor<'_> for Integer<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", T::MIN, T::MAX)
    }

    #[inline]
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match T::try_from(number) {
            Ok(number) => self.0.push(number),
            Err(_) => return Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
        Ok(())
    }

    #[inline]
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match T::try_from(number) {
            Ok(number) => self.0.push(number),
            Err(_) => return Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
        Ok(())
    }
}

trait Whole: TryFrom<i64> + TryFrom<u64> + fmt::Display {
    const MIN: Self;
    const MAX: Self;
}

macro_rules! whole {
    ($($number:ty)*) => {
        $(impl Whole for $number {
            const MIN: Self = <$number>::MIN;
            const MAX: Self = <$number>::MAX;
        })*
    };
}

whole!(i8 i16 i32 i64 u8 u16 u32 u64);

/// A number that the closure takes, or refuses with `false`.
struct Float<F>(&'static str, F);

impl<F: FnMut(f64) -> bool> Visitor<'_> for Float<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number in the range of {}", self.0)
    }

    #[inline]
    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        if (self.1)(number) { Ok(()) } else { Err(E::invalid_value(Unexpected::Float(number), &self)) }
    }

    #[inline]
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    #[inline]
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }
}

/// The nearest number, if there is one.
fn push_f32(values: &mut Vec<f32>, number: f64) -> bool {
    values.push(number as f32);
    (number as f32).is_finite()
}

/// From a number or a text, never by way of a float.
fn push_decimal<E: Error>(values: &mut Vec<i128>, json: &str, precision: u8, scale: i8) -> Result<(), E> {
    let expected =
        |why: &str| E::custom(format!("{} {why}, expected decimal({precision}, {scale})", text::shorten(json)));
    let number: Cow<'_, str> = match json.as_bytes()[0] {
        b'"' => serde_json::from_str(json).map_err(|_| expected("is not a text"))?,
        _ => json.into(),
    };
    values.push(text::decimal(&number, precision, scale).map_err(|why| expected(&why))?);
    Ok(())
}

struct Items<'c> {
    item: &'c mut Column,
    path: &'c mut Path,
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for i in 0.. {
            match items.next_element_seed(Value { column: self.item, path: self.path }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    self.path.push(format!("[{i}]"));
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
