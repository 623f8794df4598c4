//! JSON objects into a row of columns: the event itself, and structs inside of it.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};

use super::super::column::Column;
use super::value::Value;

/// Where an error is, from the inside to the outside; filled on the way out.
#[derive(Default)]
pub struct Path {
    steps: Vec<String>,
}

impl Path {
    #[cold]
    pub fn push(&mut self, step: String) {
        self.steps.push(step);
    }

    /// As the beginning of a message.
    pub fn column(&self) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut path = String::new();
        for (i, step) in self.steps.iter().rev().enumerate() {
            if i > 0 && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        format!("column `{path}`: ")
    }
}

pub struct Object<'c> {
    pub columns: &'c mut [Column],
    /// The rows that the columns have so far.
    pub row: usize,
    pub path: &'c mut Path,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut next, mut found) = (0, 0);
        while let Some(key) = map.next_key_seed(Key { columns: self.columns, next })? {
            let Some(i) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let column = &mut self.columns[i];
            if column.len() > self.row {
                return Err(A::Error::custom(format!("the field `{}` stands twice", column.field.name)));
            }
            if let Err(error) = map.next_value_seed(Value { column, path: self.path }) {
                self.path.push(column.field.name.clone());
                return Err(error);
            }
            next = i + 1;
            found += 1;
        }
        if found < self.columns.len() { self.fill_missing() } else { Ok(()) }
    }
}

impl Object<'_> {
    fn fill_missing<E: Error>(self) -> Result<(), E> {
        for column in self.columns.iter_mut().filter(|column| column.len() == self.row) {
            if !column.field.nullable {
                self.path.push(column.field.name.clone());
                return Err(E::custom("is missing"));
            }
            column.push_null();
        }
        Ok(())
    }
}

/// A field's name; its value is the number of the column of that name.
struct Key<'c> {
    columns: &'c [Column],
    /// The column whose turn it is when the fields come in the schema's order.
    next: usize,
}

impl Key<'_> {
    #[inline]
    fn find(&self, name: &[u8]) -> Option<usize> {
        let is_named = |column: &Column| column.field.name.as_bytes() == name;
        if self.columns.get(self.next).is_some_and(is_named) {
            return Some(self.next);
        }
        self.columns.iter().position(is_named)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.find(name.as_bytes()))
    }
}
