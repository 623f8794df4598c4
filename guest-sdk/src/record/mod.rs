//! Records: rows of typed columns as plain structs.
//!
//! A record crosses the boundary in columns, so it has two halves. The *reader* is prepared once per batch and makes
//! a struct of any row without allocating; the *builder* takes structs row by row and becomes columns at the end of
//! the call. `#[derive(Record)]` writes both.

mod bytes;
mod fixed;
mod list;
mod nested;
mod nullable;
mod numbers;

pub(crate) mod bits;
#[cfg(test)]
pub(crate) use bytes::BytesBuilder;

use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::schema::Schema;

/// A row as a struct: `#[derive(Record)]` on a struct with named fields.
///
/// Fields are `bool`, integers, floats, `&str` or `String`, `&[u8]` or `Vec<u8>`, `[u8; N]`, [`Timestamp`], [`Date`],
/// [`Duration`], [`Decimal`], other records, and `Option<T>` and `Vec<T>` of these. A struct that borrows has one
/// lifetime: that of the batch.
///
/// ```
/// use wasmill_sdk::prelude::*;
/// #[derive(Record)]
/// struct Click<'a> {
///     user: &'a str,
///     #[record(rename = "type")]
///     kind: Option<&'a str>,
///     at: Timestamp,
/// }
/// ```
///
/// [`Timestamp`]: crate::Timestamp
/// [`Date`]: crate::Date
/// [`Duration`]: crate::Duration
/// [`Decimal`]: crate::Decimal
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    label = "not a record",
    note = "a record is a struct with named fields and `#[derive(Record)]`"
)]
pub trait Record<'a>: Sized {
    /// The batch's columns, prepared for reading.
    #[doc(hidden)]
    type Reader: Default;
    /// Columns in the making.
    #[doc(hidden)]
    type Builder: Builder;
    /// How many fields it has.
    #[doc(hidden)]
    const FIELDS: u32;
    #[doc(hidden)]
    fn describe_fields(schema: &mut Schema);
    #[doc(hidden)]
    fn read_fields(columns: &mut Cursor<'a>) -> Self::Reader;
    #[doc(hidden)]
    fn read_record(reader: &Self::Reader, row: usize) -> Self;
    #[doc(hidden)]
    fn write_record(&self, builder: &mut Self::Builder);
}

/// A type that a record's field may have.
#[diagnostic::on_unimplemented(
    message = "a record cannot have a field of type `{Self}`",
    label = "not a type of fields",
    note = "fields are bool, integers of 8 to 64 bits, f32, f64, &str, String, &[u8], Vec<u8>, [u8; N], Timestamp, \
            Date, Duration, Decimal, other records, and Option<T> and Vec<T> of these",
    note = "is it a struct of yours? then `#[derive(Record)]` is missing on it"
)]
pub trait Field<'a>: Sized {
    #[doc(hidden)]
    type Reader: Default;
    #[doc(hidden)]
    type Builder: Builder;
    #[doc(hidden)]
    fn describe(name: &str, nullable: bool, schema: &mut Schema);
    #[doc(hidden)]
    fn reader(columns: &mut Cursor<'a>) -> Self::Reader;
    #[doc(hidden)]
    fn read(reader: &Self::Reader, row: usize) -> Self;
    #[doc(hidden)]
    fn write(&self, builder: &mut Self::Builder);

    // How a `Vec` of it is a column. Only bytes are not a sequence.
    #[doc(hidden)]
    fn describe_list(name: &str, nullable: bool, schema: &mut Schema) {
        schema.push(name, crate::schema::DataType::Sequence, nullable);
        Self::describe("item", false, schema);
    }
    #[doc(hidden)]
    fn list_reader(columns: &mut Cursor<'a>) -> (Rows<'a>, &'a [i32], Self::Reader) {
        let (rows, column) = columns.take_indexed();
        let Values::Sequences(offsets) = &column.values else {
            mismatch("sequences", column)
        };
        (rows, offsets, Self::reader(columns))
    }
    #[doc(hidden)]
    fn read_list(reader: &Self::Reader, rows: std::ops::Range<usize>) -> Vec<Self> {
        rows.map(|row| Self::read(reader, row)).collect()
    }
    #[doc(hidden)]
    fn write_list(items: &[Self], builder: &mut Self::Builder) {
        for item in items {
            item.write(builder);
        }
    }
}

/// A record or field type without its lifetime: what handles are declared with, such as `Port<Alert<'static>>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record or a type of a record's fields",
    note = "where a type borrows, write it with 'static here: `&'static str`, `Alert<'static>`"
)]
pub trait Shape: 'static {
    /// The type with the lifetime of a batch.
    type Of<'a>: Field<'a>;
}

/// A record without its lifetime: what ports are declared with, such as `Port<Rejected<'static>>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    label = "not a record",
    note = "a record is a struct with named fields and `#[derive(Record)]`; where it borrows, write it with 'static \
            here: `Rejected<'static>`"
)]
pub trait RecordShape: 'static {
    #[doc(hidden)]
    type Builder: Builder;
    /// The record with the lifetime of a batch.
    type Of<'a>: Record<'a, Builder = Self::Builder>;
}

impl<T: RecordShape> Shape for T {
    type Of<'a> = <T as RecordShape>::Of<'a>;
}

/// Columns in the making.
#[doc(hidden)]
pub trait Builder: Default + 'static {
    /// Starts the column, or makes room for so many more rows.
    fn reserve(&mut self, rows: usize);
    /// The value under a null.
    fn push_default(&mut self);
    /// Forgets all rows but the first so many.
    fn truncate(&mut self, rows: usize);
    /// About how many bytes it holds.
    fn bytes(&self) -> usize;
    /// Hands over the columns, and starts anew.
    fn finish(&mut self, columns: &mut Vec<Column>);
    /// Hands over the column of lists that its values are the elements of.
    fn finish_list(&mut self, offsets: Vec<i32>, columns: &mut Vec<Column>) {
        columns.push(Column {
            validity: None,
            values: Values::Sequences(offsets),
        });
        self.finish(columns);
    }
}

/// Walks the columns of a batch, which come depth first.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    columns: &'a [Column],
}

/// Which row of a column holds a row's value: its own, or the one that a dictionary says.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<'a>(Option<&'a [u32]>);

impl<'a> Cursor<'a> {
    /// At the first of these columns, which the host made.
    pub(crate) fn new(columns: &'a [Column]) -> Self {
        Self { columns }
    }

    pub(crate) fn peek(&self) -> &'a Column {
        self.columns
            .first()
            .expect("the host passed fewer columns than the descriptor reads")
    }

    pub(crate) fn take(&mut self) -> &'a Column {
        let column = self.peek();
        self.columns = &self.columns[1..];
        column
    }

    pub(crate) fn take_indexed(&mut self) -> (Rows<'a>, &'a Column) {
        let column = self.take();
        match &column.values {
            Values::Dictionary(dictionary) => (Rows(Some(&dictionary.indices)), self.take()),
            _ => (Rows(None), column),
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    pub(crate) fn at(self, row: usize) -> usize {
        match self.0 {
            None => row,
            Some(indices) => indices[row] as usize,
        }
    }
}

#[cold]
pub(crate) fn mismatch(need: &str, column: &Column) -> ! {
    let has = match &column.values {
        Values::Nulls => "nulls",
        Values::Booleans(_) => "booleans",
        Values::S8s(_) => "s8s",
        Values::S16s(_) => "s16s",
        Values::S32s(_) => "s32s",
        Values::S64s(_) => "s64s",
        Values::U8s(_) => "u8s",
        Values::U16s(_) => "u16s",
        Values::U32s(_) => "u32s",
        Values::U64s(_) => "u64s",
        Values::F32s(_) => "f32s",
        Values::F64s(_) => "f64s",
        Values::Fixed(_) => "fixed",
        Values::Variable(_) => "variable",
        Values::Sequences(_) => "sequences",
        Values::Structures => "structures",
        Values::Dictionary(_) => "dictionary",
    };
    panic!("the host passed a column of {has} where the operator's schema says {need}")
}
