//! Values that may be absent.

use super::bits::{self, Bitmap};
use super::{Builder, Cursor, Field, Shape};
use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::schema::Schema;

/// A column with nulls, prepared for reading.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct NullableReader<'a, R> {
    validity: Option<&'a [u8]>,
    /// the rows of a dictionary's values that are null, by way of its indices
    dictionary: Option<(&'a [u32], &'a [u8])>,
    /// none: every row is null
    values: Option<R>,
}

/// Values that may be absent in the making.
#[doc(hidden)]
#[derive(Default)]
pub struct NullableBuilder<B> {
    validity: Bitmap,
    nulls: usize,
    values: B,
}

impl<B: Builder> Builder for NullableBuilder<B> {
    fn reserve(&mut self, rows: usize) {
        self.validity.reserve(rows);
        self.values.reserve(rows);
    }
    fn push_default(&mut self) {
        self.validity.push(false);
        self.nulls += 1;
        self.values.push_default();
    }
    fn truncate(&mut self, rows: usize) {
        if rows < self.validity.len() {
            self.validity.truncate(rows);
            self.values.truncate(rows);
        }
    }
    fn bytes(&self) -> usize {
        self.validity.bytes() + self.values.bytes()
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        let at = columns.len();
        let validity = self.validity.take();
        self.values.finish(columns);
        if std::mem::take(&mut self.nulls) > 0 {
            columns[at].validity = Some(validity);
        }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    type Reader = NullableReader<'a, T::Reader>;
    type Builder = NullableBuilder<T::Builder>;
    fn describe(name: &str, _: bool, schema: &mut Schema) {
        T::describe(name, true, schema);
    }
    fn reader(columns: &mut Cursor<'a>) -> Self::Reader {
        let first = columns.peek();
        let validity = first.validity.as_deref();
        if matches!(first.values, Values::Nulls) {
            columns.take();
            return NullableReader {
                validity,
                dictionary: None,
                values: None,
            };
        }
        let dictionary = match &first.values {
            Values::Dictionary(dictionary) => {
                let mut inner = columns.clone();
                inner.take();
                inner
                    .peek()
                    .validity
                    .as_deref()
                    .map(|validity| (&*dictionary.indices, validity))
            }
            _ => None,
        };
        NullableReader {
            validity,
            dictionary,
            values: Some(T::reader(columns)),
        }
    }
    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        let values = reader.values.as_ref()?;
        if reader
            .validity
            .is_some_and(|validity| !bits::get(validity, row))
        {
            return None;
        }
        if reader
            .dictionary
            .is_some_and(|(rows, validity)| !bits::get(validity, rows[row] as usize))
        {
            return None;
        }
        Some(T::read(values, row))
    }
    #[inline]
    fn write(&self, builder: &mut Self::Builder) {
        match self {
            None => builder.push_default(),
            Some(value) => {
                builder.validity.push(true);
                value.write(&mut builder.values);
            }
        }
    }
}

impl<T: Shape> Shape for Option<T> {
    type Of<'a> = Option<T::Of<'a>>;
}
