//! What becomes of a state whose declaration has changed since its values were written, and how such values are made into
//! today's: by name, as `wit/values.md` says.

use crate::model::fault::Fault;
use crate::model::schema::{DataType, Field};

use super::Conversion;

/// What a plugin declares of a state, apart from its name, by which the two are matched.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    pub kind: &'a str,
    /// Of a map.
    pub key: Option<&'a Field>,
    pub value: &'a Field,
    /// An encoded value.
    pub defaults: &'a [u8],
    pub version: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Evolution {
    /// Values are as they were.
    Compatible,
    Transcode(Transcoder),
    /// The plugin's `migrate` makes each value today's.
    Migrate,
    /// Why, and what to do.
    Incompatible(String),
}

/// From values as `then` declares them to values as `now` does.
pub fn evolution(then: &Declared<'_>, now: &Declared<'_>) -> Evolution {
    if then.kind != now.kind {
        let message = format!("it was of kind {}, and is of kind {}: give it another name", then.kind, now.kind);
        return Evolution::Incompatible(message);
    }
    let key_type = |declared: &Declared<'_>| declared.key.map(|key| key.data_type.clone());
    if key_type(then) != key_type(now) {
        let shown = |declared| key_type(declared).map_or("none".to_owned(), |key| key.to_string());
        let (then, now) = (shown(then), shown(now));
        let message = format!("the keys of its map were {then}, and are {now}: give it another name");
        return Evolution::Incompatible(message);
    }
    if then.version > now.version {
        let (then, now) = (then.version, now.version);
        return Evolution::Incompatible(format!("it was written by version {then}, and this is version {now}"));
    }
    if then.version < now.version {
        return Evolution::Migrate;
    }
    match conversion(then.value, now.value, Some(now.defaults)) {
        Ok(Change::Same) => Evolution::Compatible,
        Ok(conversion) => Evolution::Transcode(Transcoder { then: then.value.clone(), conversion }),
        Err(why) => Evolution::Incompatible(format!("{why}: raise its `version` and implement `migrate`")),
    }
}

/// Makes former values into today's.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcoder {
    then: Field,
    conversion: Change,
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    /// The same type: the bytes are copied.
    Same,
    List(Box<Change>),
    /// For each field of today where it comes from.
    Struct(Vec<Origin>),
}

#[derive(Clone, Debug, PartialEq)]
enum Origin {
    Former { index: usize, conversion: Change },
    Default(Vec<u8>),
}

/// `defaults` is an encoded value of the type of `now`, where there is one.
fn conversion(then: &Field, now: &Field, defaults: Option<&[u8]>) -> Result<Change, String> {
    let changed = || format!("`{then}` has become `{now}`");
    if then.nullable != now.nullable {
        return Err(changed());
    }
    match (&then.data_type, &now.data_type) {
        (then, now) if then == now => Ok(Change::Same),
        (DataType::List(then), DataType::List(now)) => Ok(Change::List(Box::new(conversion(then, now, None)?))),
        (DataType::Struct(then), DataType::Struct(fields)) => {
            let defaults = defaults.map(|bytes| field_bytes(now, fields, bytes)).transpose()?.flatten();
            let fields = fields
                .iter()
                .enumerate()
                .map(|(at, field)| origin(then, field, defaults.as_ref().map(|defaults| defaults[at])));
            Ok(Change::Struct(fields.collect::<Result<_, _>>()?))
        }
        _ => Err(changed()),
    }
}

fn origin(then: &[Field], now: &Field, default: Option<&[u8]>) -> Result<Origin, String> {
    if let Some(index) = then.iter().position(|field| field.name == now.name) {
        return Ok(Origin::Former { index, conversion: conversion(&then[index], now, default)? });
    }
    match default {
        Some(default) => Ok(Origin::Default(default.to_vec())),
        None if now.nullable => Ok(Origin::Default(vec![ABSENT])),
        None => Err(format!("`{now}` is new, in a list or an optional part, where it has no default")),
    }
}

/// Of a list whose elements take no bytes.
const EMPTY_ITEMS_MAX: usize = 1 << 20;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// The bytes of each field of a structure; none when it is absent.
fn field_bytes<'v>(structure: &Field, fields: &[Field], bytes: &'v [u8]) -> Result<Option<Vec<&'v [u8]>>, String> {
    let mut rest = bytes;
    if structure.nullable && take(&mut rest, 1)?[0] == ABSENT {
        return Ok(None);
    }
    fields.iter().map(|field| skip(field, &mut rest)).collect::<Result<_, _>>().map(Some)
}

impl Transcoder {
    /// The value of today that `value` has become. An error if it is not of the former type, to the byte.
    pub fn transcode(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        let (mut rest, mut out) = (value, Vec::with_capacity(value.len()));
        write(&self.then, &self.conversion, &mut rest, &mut out)?;
        if rest.is_empty() { Ok(out) } else { Err(too_long(rest)) }
    }
}

impl Conversion for Transcoder {
    fn convert(&mut self, value: &[u8]) -> Result<Vec<u8>, Fault> {
        self.transcode(value).map_err(|why| {
            let name = &self.then.name;
            Fault::unrestorable(format!("a value of state `{name}` cannot be made into today's: {why}"))
        })
    }
}

/// Whether these bytes are a value of this type: what is wrong with them.
pub fn check(field: &Field, value: &[u8]) -> Result<(), String> {
    let mut rest = value;
    skip(field, &mut rest)?;
    if rest.is_empty() { Ok(()) } else { Err(too_long(rest)) }
}

fn too_long(rest: &[u8]) -> String {
    format!("a value has {} bytes more than its type", rest.len())
}

fn write(then: &Field, conversion: &Change, rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if *conversion == Change::Same {
        out.extend_from_slice(skip(then, rest)?);
        return Ok(());
    }
    if then.nullable {
        let tag = tag(rest)?;
        out.push(tag);
        if tag == ABSENT {
            return Ok(());
        }
    }
    match (&then.data_type, conversion) {
        (DataType::List(item), Change::List(conversion)) => {
            let count = count(item, rest)?;
            out.extend_from_slice(&(count as u32).to_le_bytes());
            (0..count).try_for_each(|_| write(item, conversion, rest, out))
        }
        (DataType::Struct(fields), Change::Struct(origins)) => {
            let former = fields.iter().map(|field| skip(field, rest)).collect::<Result<Vec<_>, _>>()?;
            origins.iter().try_for_each(|origin| match origin {
                Origin::Default(default) => {
                    out.extend_from_slice(default);
                    Ok(())
                }
                Origin::Former { index, conversion } => write(&fields[*index], conversion, &mut &*former[*index], out),
            })
        }
        _ => Err("a conversion of another type".to_owned()),
    }
}

/// Takes a value from the front of `rest`.
fn skip<'v>(field: &Field, rest: &mut &'v [u8]) -> Result<&'v [u8], String> {
    let whole = *rest;
    if !field.nullable || tag(rest)? == PRESENT {
        match &field.data_type {
            DataType::Text | DataType::Bytes => {
                let bytes = length(take(rest, 4)?);
                take(rest, bytes)?;
            }
            DataType::List(item) => {
                let count = count(item, rest)?;
                match (item.nullable, item.data_type.fixed_width()) {
                    (false, Some(width)) => drop(take(rest, count.saturating_mul(width))?),
                    _ => (0..count).try_for_each(|_| skip(item, rest).map(drop))?,
                }
            }
            DataType::Struct(fields) => fields.iter().try_for_each(|field| skip(field, rest).map(drop))?,
            other => drop(take(rest, other.fixed_width().unwrap_or(0))?),
        }
    }
    Ok(&whole[..whole.len() - rest.len()])
}

fn tag(rest: &mut &[u8]) -> Result<u8, String> {
    match take(rest, 1)?[0] {
        tag @ (ABSENT | PRESENT) => Ok(tag),
        other => Err(format!("a value has {other} where 0 or 1 says whether a part is there")),
    }
}

/// How many elements follow: no more than there are bytes, as far as they take any.
fn count(item: &Field, rest: &mut &[u8]) -> Result<usize, String> {
    let count = length(take(rest, 4)?);
    let is_empty = !item.nullable && item.data_type.fixed_width() == Some(0);
    if count > if is_empty { EMPTY_ITEMS_MAX } else { rest.len() } {
        return Err(format!("a list in a value has {count} elements, more than its bytes can be"));
    }
    Ok(count)
}

fn length(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

fn take<'v>(rest: &mut &'v [u8], bytes: usize) -> Result<&'v [u8], String> {
    let (front, behind) = rest.split_at_checked(bytes).ok_or("a value ends early: it is not of its type")?;
    *rest = behind;
    Ok(front)
}

#[cfg(test)]
mod tests;
