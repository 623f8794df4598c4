//! The key encoding, version 1: durable, order-preserving, ours. Encoded keys compare as their columns do, and the
//! hash of an encoded key chooses its key group, so these bytes may never change; a new layout is a new version.
//!
//! A key is its columns one after the other. A column is a tag, 0 for null and 1 otherwise, then for
//! - booleans one byte; integers, timestamps, dates, durations and decimals their big-endian bytes with the sign bit
//!   flipped;
//! - floats their IEEE 754 bits, all flipped when negative, otherwise with the sign bit flipped; there is one NaN,
//!   above all numbers, and one zero;
//! - text and bytes their bytes with 00 written as 00 FF, then 00 (as in FoundationDB's tuple layer);
//! - bytes of a fixed length as they are.

pub mod json;

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::DataType as A;

use super::key_group::KeyHash;
use super::schema::{DataType, Field};

/// The version of this encoding, for what is durable.
pub const KEY_ENCODING_VERSION: u16 = 1;

const NULL: u8 = 0;
const VALID: u8 = 1;
/// Ends a text; inside one it is followed by `ESCAPED`.
const END: u8 = 0;
const ESCAPED: u8 = 0xff;

/// Encoded keys, one after the other: key `i` is `bytes[ends[i - 1] .. ends[i]]`.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<KeyHash>,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Of all keys together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    #[inline]
    pub fn hash(&self, i: usize) -> KeyHash {
        self.hashes[i]
    }

    pub fn hashes(&self) -> &[KeyHash] {
        &self.hashes
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.hashes.clear();
    }

    /// Keeps the first `len` keys.
    pub fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.hashes.truncate(len);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    pub fn push(&mut self, key: &[u8], hash: KeyHash) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
        self.hashes.push(hash);
    }

    /// The keys of every row of `columns`, which have the same length. Replaces what was there.
    pub fn encode(&mut self, columns: &[ArrayRef], rows: usize) {
        self.write(columns, rows);
        self.hashes.extend((0..rows).map(|i| {
            let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
            KeyHash::of(&self.bytes[start..self.ends[i] as usize])
        }));
    }

    /// The same where their hashes may be known (`Batch::key_hashes`).
    pub fn encode_hashed(&mut self, columns: &[ArrayRef], rows: usize, hashes: Option<&[u64]>) {
        let Some(hashes) = hashes else { return self.encode(columns, rows) };
        self.write(columns, rows);
        self.hashes.extend(hashes.iter().copied().map(KeyHash));
        debug_assert!(self.iter().zip(&self.hashes).all(|(key, hash)| KeyHash::of(key) == *hash));
    }

    fn write(&mut self, columns: &[ArrayRef], rows: usize) {
        self.clear();
        let only = if let [column] = columns { unescaped(column) } else { None };
        match only {
            Some((offsets, data)) => self.write_one(offsets, data),
            None => self.write_all(columns, rows),
        }
    }

    /// One column of bytes that stand in keys as they are: most keys are.
    fn write_one(&mut self, offsets: &[i32], data: &[u8]) {
        self.bytes.reserve(data.len() + 2 * offsets.len());
        self.ends.reserve(offsets.len());
        for [start, end] in offsets.array_windows() {
            self.bytes.push(VALID);
            self.bytes.extend_from_slice(&data[*start as usize..*end as usize]);
            self.bytes.push(END);
            self.ends.push(self.bytes.len() as u32);
        }
    }

    fn write_all(&mut self, columns: &[ArrayRef], rows: usize) {
        self.ends.resize(rows, 0);
        for column in columns {
            add_lengths(column, &mut self.ends);
        }
        let mut end = 0u32;
        for length in &mut self.ends {
            end += *length;
            *length = end;
        }
        self.bytes.resize(end as usize, 0);
        let mut at: Vec<u32> = Vec::with_capacity(rows);
        at.push(0);
        at.extend_from_slice(&self.ends[..rows.saturating_sub(1)]);
        for column in columns {
            write_column(column, &mut self.bytes, &mut at);
        }
    }
}

/// The offsets and the data of a column of text or bytes that has no nulls, and nothing to be escaped.
fn unescaped(column: &ArrayRef) -> Option<(&[i32], &[u8])> {
    let (offsets, data) = match column.data_type() {
        A::Utf8 => (column.as_string::<i32>().value_offsets(), column.as_string::<i32>().value_data()),
        A::Binary => (column.as_binary::<i32>().value_offsets(), column.as_binary::<i32>().value_data()),
        _ => return None,
    };
    (column.null_count() == 0 && memchr::memchr(END, data).is_none()).then_some((offsets, data))
}

fn fixed_length(data_type: &A) -> Option<u32> {
    match data_type {
        A::Boolean => Some(1),
        A::FixedSizeBinary(width) => Some(*width as u32),
        A::Utf8 | A::Binary => None,
        other => other.primitive_width().map(|width| width as u32),
    }
}

fn add_lengths(column: &ArrayRef, lengths: &mut [u32]) {
    match (fixed_length(column.data_type()), column.data_type()) {
        (Some(width), _) if column.null_count() == 0 => lengths.iter_mut().for_each(|length| *length += 1 + width),
        (Some(width), _) => {
            for (row, length) in lengths.iter_mut().enumerate() {
                *length += if column.is_null(row) { 1 } else { 1 + width };
            }
        }
        (None, A::Utf8) => {
            let column = column.as_string::<i32>();
            add_variable_lengths(column.value_offsets(), column.value_data(), column, lengths);
        }
        (None, _) => {
            let column = column.as_binary::<i32>();
            add_variable_lengths(column.value_offsets(), column.value_data(), column, lengths);
        }
    }
}

fn add_variable_lengths(offsets: &[i32], data: &[u8], column: &dyn Array, lengths: &mut [u32]) {
    let escapes = memchr::memchr(END, data).is_some();
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    for (row, length) in lengths.iter_mut().enumerate() {
        let value = &data[offsets[row] as usize..offsets[row + 1] as usize];
        *length += match (nulls.is_some_and(|nulls| nulls.is_null(row)), escapes) {
            (true, _) => 1,
            (false, false) => 2 + value.len() as u32,
            (false, true) => 2 + (value.len() + memchr::memchr_iter(END, value).count()) as u32,
        };
    }
}

fn write_column(column: &ArrayRef, out: &mut [u8], at: &mut [u32]) {
    match column.data_type() {
        A::Boolean => {
            let values = column.as_boolean();
            write_fixed(column, out, at, |row| [u8::from(values.value(row))]);
        }
        A::Int8 => write_primitive::<Int8Type, 1>(column, out, at, |v| flip([v as u8])),
        A::Int16 => write_primitive::<Int16Type, 2>(column, out, at, |v| flip(v.to_be_bytes())),
        A::Int32 => write_primitive::<Int32Type, 4>(column, out, at, |v| flip(v.to_be_bytes())),
        A::Int64 => write_primitive::<Int64Type, 8>(column, out, at, |v| flip(v.to_be_bytes())),
        A::UInt8 => write_primitive::<UInt8Type, 1>(column, out, at, |v| [v]),
        A::UInt16 => write_primitive::<UInt16Type, 2>(column, out, at, u16::to_be_bytes),
        A::UInt32 => write_primitive::<UInt32Type, 4>(column, out, at, u32::to_be_bytes),
        A::UInt64 => write_primitive::<UInt64Type, 8>(column, out, at, u64::to_be_bytes),
        A::Float32 => write_primitive::<Float32Type, 4>(column, out, at, |v| order_f32(v).to_be_bytes()),
        A::Float64 => write_primitive::<Float64Type, 8>(column, out, at, |v| order_f64(v).to_be_bytes()),
        A::Timestamp(..) => {
            write_primitive::<TimestampMicrosecondType, 8>(column, out, at, |v| flip(v.to_be_bytes()));
        }
        A::Duration(_) => write_primitive::<DurationMicrosecondType, 8>(column, out, at, |v| flip(v.to_be_bytes())),
        A::Date32 => write_primitive::<Date32Type, 4>(column, out, at, |v| flip(v.to_be_bytes())),
        A::Decimal128(..) => write_primitive::<Decimal128Type, 16>(column, out, at, |v| flip(v.to_be_bytes())),
        A::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            write_bytes(column, out, at, |row| values.value(row), false, false);
        }
        A::Utf8 => {
            let values = column.as_string::<i32>();
            let escapes = memchr::memchr(END, values.value_data()).is_some();
            write_bytes(column, out, at, |row| values.value(row).as_bytes(), true, escapes);
        }
        A::Binary => {
            let values = column.as_binary::<i32>();
            let escapes = memchr::memchr(END, values.value_data()).is_some();
            write_bytes(column, out, at, |row| values.value(row), true, escapes);
        }
        other => unreachable!("the plan refuses {other} as a key"),
    }
}

fn write_primitive<T: ArrowPrimitiveType, const N: usize>(
    column: &ArrayRef,
    out: &mut [u8],
    at: &mut [u32],
    encode: impl Fn(T::Native) -> [u8; N],
) {
    let values = column.as_primitive::<T>().values();
    write_fixed(column, out, at, |row| encode(values[row]));
}

fn write_fixed<const N: usize>(column: &ArrayRef, out: &mut [u8], at: &mut [u32], encode: impl Fn(usize) -> [u8; N]) {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    for (row, at) in at.iter_mut().enumerate() {
        let start = *at as usize;
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out[start] = NULL;
            *at += 1;
        } else {
            out[start] = VALID;
            out[start + 1..start + 1 + N].copy_from_slice(&encode(row));
            *at += 1 + N as u32;
        }
    }
}

fn write_bytes<'a>(
    column: &ArrayRef,
    out: &mut [u8],
    at: &mut [u32],
    value: impl Fn(usize) -> &'a [u8],
    terminated: bool,
    escapes: bool,
) {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    for (row, at) in at.iter_mut().enumerate() {
        let start = *at as usize;
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out[start] = NULL;
            *at += 1;
            continue;
        }
        out[start] = VALID;
        let value = value(row);
        let mut end = start + 1;
        if escapes && value.contains(&END) {
            for byte in value {
                out[end] = *byte;
                end += 1;
                if *byte == END {
                    out[end] = ESCAPED;
                    end += 1;
                }
            }
        } else {
            out[end..end + value.len()].copy_from_slice(value);
            end += value.len();
        }
        if terminated {
            out[end] = END;
            end += 1;
        }
        *at = end as u32;
    }
}

fn flip<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes[0] ^= 0x80;
    bytes
}

fn order_f32(value: f32) -> u32 {
    let value = if value.is_nan() { f32::NAN } else { value + 0.0 };
    let bits = value.to_bits() & if value.is_nan() { 0x7fff_ffff } else { u32::MAX };
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn order_f64(value: f64) -> u64 {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = value.to_bits() & if value.is_nan() { u64::MAX >> 1 } else { u64::MAX };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn f32_of(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 0 { !bits } else { bits & !(1 << 31) })
}

fn f64_of(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 0 { !bits } else { bits & !(1 << 63) })
}

/// The columns of encoded keys, a row for each.
///
/// # Panics
/// If the bytes are not keys of these types: they come from `Keys::encode` or from a checked checkpoint.
pub fn decode<'a>(keys: impl Iterator<Item = &'a [u8]>, fields: &[Field]) -> Vec<ArrayRef> {
    try_decode(keys, fields).expect("these are encoded keys of these types")
}

/// The same for bytes that may be anything. The error says what is wrong with one of them, and with which column.
pub fn try_decode<'a>(keys: impl Iterator<Item = &'a [u8]>, fields: &[Field]) -> Result<Vec<ArrayRef>, String> {
    let mut rest: Vec<&[u8]> = keys.collect();
    let column = |field: &Field| {
        decode_column(&mut rest, &field.data_type).map_err(|error| format!("key column `{}`: {error}", field.name))
    };
    let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    match rest.iter().find(|rest| !rest.is_empty()) {
        Some(rest) => Err(format!("{} bytes stand behind the last column of a key", rest.len())),
        None => Ok(columns),
    }
}

/// Takes a key off the front of bytes that may be anything. The error says what is wrong with it, and with which column.
pub fn skip(bytes: &mut &[u8], fields: &[Field]) -> Result<(), String> {
    let mut column = |field: &Field| {
        let skipped = skip_column(bytes, &field.data_type).and_then(|is_there| match is_there || field.nullable {
            true => Ok(()),
            false => Err("it is null".to_owned()),
        });
        skipped.map_err(|error| format!("key column `{}`: {error}", field.name))
    };
    fields.iter().try_for_each(&mut column)
}

/// Whether it is not null.
fn skip_column(key: &mut &[u8], data_type: &DataType) -> Result<bool, String> {
    match (data_type, data_type.fixed_width()) {
        (DataType::Text, _) => {
            let text = take_terminated(key)?;
            text.as_deref().map_or(Ok(""), std::str::from_utf8).map_err(|error| format!("it is not UTF-8: {error}"))?;
            Ok(text.is_some())
        }
        (DataType::Bytes, _) => Ok(take_terminated(key)?.is_some()),
        (DataType::List(_) | DataType::Struct(_), _) | (_, None) => Err(format!("{data_type} is no type of a key")),
        (_, Some(width)) => {
            let is_there = take_tag(key)?;
            let width = if is_there { width } else { 0 };
            let left = key.len();
            key.split_off(..width).ok_or_else(|| too_short(width, left))?;
            Ok(is_there)
        }
    }
}

fn decode_column(keys: &mut [&[u8]], data_type: &DataType) -> Result<ArrayRef, String> {
    Ok(match data_type {
        DataType::Boolean => {
            let mut column = BooleanBuilder::with_capacity(keys.len());
            for key in keys {
                column.append_option(take::<1>(key)?.map(|[b]| b != 0));
            }
            Arc::new(column.finish())
        }
        DataType::I8 => primitive::<Int8Type, 1>(keys, |b| flip(b)[0] as i8)?,
        DataType::I16 => primitive::<Int16Type, 2>(keys, |b| i16::from_be_bytes(flip(b)))?,
        DataType::I32 => primitive::<Int32Type, 4>(keys, |b| i32::from_be_bytes(flip(b)))?,
        DataType::I64 => primitive::<Int64Type, 8>(keys, |b| i64::from_be_bytes(flip(b)))?,
        DataType::U8 => primitive::<UInt8Type, 1>(keys, |[b]| b)?,
        DataType::U16 => primitive::<UInt16Type, 2>(keys, u16::from_be_bytes)?,
        DataType::U32 => primitive::<UInt32Type, 4>(keys, u32::from_be_bytes)?,
        DataType::U64 => primitive::<UInt64Type, 8>(keys, u64::from_be_bytes)?,
        DataType::F32 => primitive::<Float32Type, 4>(keys, |b| f32_of(u32::from_be_bytes(b)))?,
        DataType::F64 => primitive::<Float64Type, 8>(keys, |b| f64_of(u64::from_be_bytes(b)))?,
        DataType::Date => primitive::<Date32Type, 4>(keys, |b| i32::from_be_bytes(flip(b)))?,
        DataType::Duration => primitive::<DurationMicrosecondType, 8>(keys, |b| i64::from_be_bytes(flip(b)))?,
        DataType::Timestamp => {
            let column = typed::<TimestampMicrosecondType, 8>(keys, |b| i64::from_be_bytes(flip(b)))?;
            Arc::new(column.with_data_type(data_type.to_arrow()))
        }
        DataType::Decimal { .. } => {
            let column = typed::<Decimal128Type, 16>(keys, |b| i128::from_be_bytes(flip(b)))?;
            Arc::new(column.with_data_type(data_type.to_arrow()))
        }
        DataType::FixedBytes(width) => fixed_bytes(keys, *width as usize)?,
        DataType::Text => {
            let mut column = StringBuilder::with_capacity(keys.len(), keys.len() * 16);
            for key in keys {
                let text = take_terminated(key)?;
                let text = text.as_deref().map(std::str::from_utf8).transpose();
                column.append_option(text.map_err(|error| format!("it is not UTF-8: {error}"))?);
            }
            Arc::new(column.finish())
        }
        DataType::Bytes => {
            let mut column = BinaryBuilder::with_capacity(keys.len(), keys.len() * 16);
            for key in keys {
                column.append_option(take_terminated(key)?);
            }
            Arc::new(column.finish())
        }
        DataType::List(_) | DataType::Struct(_) => return Err(format!("{data_type} is no type of a key")),
    })
}

fn fixed_bytes(keys: &mut [&[u8]], width: usize) -> Result<ArrayRef, String> {
    let mut column = FixedSizeBinaryBuilder::with_capacity(keys.len(), width as i32);
    for key in keys {
        if !take_tag(key)? {
            column.append_null();
            continue;
        }
        let (value, rest) = key.split_at_checked(width).ok_or_else(|| too_short(width, key.len()))?;
        column.append_value(value).map_err(|error| error.to_string())?;
        *key = rest;
    }
    Ok(Arc::new(column.finish()))
}

fn primitive<T: ArrowPrimitiveType, const N: usize>(
    keys: &mut [&[u8]],
    decode: impl Fn([u8; N]) -> T::Native,
) -> Result<ArrayRef, String> {
    Ok(Arc::new(typed::<T, N>(keys, decode)?))
}

fn typed<T: ArrowPrimitiveType, const N: usize>(
    keys: &mut [&[u8]],
    decode: impl Fn([u8; N]) -> T::Native,
) -> Result<PrimitiveArray<T>, String> {
    keys.iter_mut().map(|key| Ok(take::<N>(key)?.map(&decode))).collect()
}

/// Whether the column has a value.
fn take_tag(key: &mut &[u8]) -> Result<bool, String> {
    match key.split_first() {
        Some((&tag @ (NULL | VALID), rest)) => {
            *key = rest;
            Ok(tag == VALID)
        }
        Some((tag, _)) => Err(format!("the tag {tag} is neither {NULL} nor {VALID}")),
        None => Err("its tag is missing".to_owned()),
    }
}

fn take<const N: usize>(key: &mut &[u8]) -> Result<Option<[u8; N]>, String> {
    if !take_tag(key)? {
        return Ok(None);
    }
    let (value, rest) = key.split_first_chunk::<N>().ok_or_else(|| too_short(N, key.len()))?;
    *key = rest;
    Ok(Some(*value))
}

fn take_terminated<'a>(key: &mut &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, String> {
    if !take_tag(key)? {
        return Ok(None);
    }
    let rest = *key;
    let mut unescaped = Vec::new();
    let mut at = 0;
    loop {
        let end = memchr::memchr(END, &rest[at..]).ok_or("it does not end")? + at;
        if rest.get(end + 1) == Some(&ESCAPED) {
            unescaped.extend_from_slice(&rest[at..=end]);
            at = end + 2;
            continue;
        }
        *key = &rest[end + 1..];
        if at == 0 {
            return Ok(Some(Cow::Borrowed(&rest[..end])));
        }
        unescaped.extend_from_slice(&rest[at..end]);
        return Ok(Some(Cow::Owned(unescaped)));
    }
}

#[cold]
fn too_short(wanted: usize, found: usize) -> String {
    format!("{found} bytes where {wanted} belong")
}

#[cfg(test)]
mod tests;
