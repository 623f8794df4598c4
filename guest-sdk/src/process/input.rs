//! What an operator reads: records, or rows whose columns it chose when it was opened.

use super::output::NoColumns;
use crate::bindings::wasmill::operator::columns;
use crate::record::{Builder, Cursor, Field, Record, Shape, bits};
use crate::schema::Schema;
use std::marker::PhantomData;

/// What [`Process::In`](super::Process::In) may be: a [`Record`], a [`Row`], or `()` to read no column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a batch",
    label = "neither a record nor `Row` nor `()`",
    note = "`#[derive(Record)]` makes a struct with named fields a record"
)]
pub trait Input<'a>: Sized {
    #[doc(hidden)]
    type Reader;
    #[doc(hidden)]
    const GENERIC: bool;
    #[doc(hidden)]
    fn need(schema: &mut Schema);
    #[doc(hidden)]
    fn reader(columns: &'a [columns::Column]) -> Self::Reader;
    #[doc(hidden)]
    fn read(reader: &Self::Reader, row: usize) -> Self;
}

impl<'a, T: Record<'a>> Input<'a> for T {
    type Reader = T::Reader;
    const GENERIC: bool = false;
    fn need(schema: &mut Schema) {
        T::describe_fields(schema);
    }
    fn reader(columns: &'a [columns::Column]) -> Self::Reader {
        T::read_fields(&mut Cursor::new(columns))
    }
    #[inline(always)]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        T::read_record(reader, row)
    }
}

impl<'a> Input<'a> for () {
    type Reader = ();
    const GENERIC: bool = false;
    fn need(_: &mut Schema) {}
    fn reader(_: &'a [columns::Column]) {}
    fn read(_: &(), _: usize) {}
}

/// A row of any schema. The operator looks at [`Open::input_schema`](super::Open::input_schema), asks for the columns
/// that it wants with [`Open::column`](super::Open::column), and reads them here.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [columns::Column],
    row: usize,
}

impl<'a> Row<'a> {
    /// This row's value in a column.
    #[inline]
    pub fn get<T: Shape>(&self, column: &Column<T>) -> T::Of<'a> {
        let mut cursor = Cursor::new(&self.columns[column.at..]);
        T::Of::read(&T::Of::reader(&mut cursor), self.row)
    }
}

impl<'a> Input<'a> for Row<'a> {
    type Reader = &'a [columns::Column];
    const GENERIC: bool = true;
    fn need(_: &mut Schema) {}
    fn reader(columns: &'a [columns::Column]) -> Self::Reader {
        columns
    }
    #[inline(always)]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        Self { columns: reader, row }
    }
}

/// A column of the input that was asked for by name. `T` is its type, written with `'static` where it borrows.
#[derive(Debug)]
pub struct Column<T> {
    /// where it is among the batch's columns
    at: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Column<T> {
    pub(super) fn new(at: usize) -> Self {
        Self { at, of: PhantomData }
    }
}

/// The columns of a batch, as slices: for [`Process::on_columns`](super::Process::on_columns).
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    columns: &'a [columns::Column],
    rows: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(columns: &'a [columns::Column], rows: usize) -> Self {
        Self { columns, rows }
    }

    /// How many rows the batch has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a column: of integers, floats and times as numbers, of `bool` as a bitmap, of `[u8; N]` one
    /// after the other. A row without a value has any number here, see [`is_valid`](Self::is_valid).
    pub fn slice<T, N>(&self, column: &Column<T>) -> &'a [N]
    where
        T: Shape,
        T::Of<'a>: Field<'a, Reader = &'a [N]>,
    {
        T::Of::reader(&mut Cursor::new(&self.columns[column.at..]))
    }

    /// Whether a row has a value in a column.
    pub fn is_valid<T>(&self, column: &Column<T>, row: usize) -> bool {
        let validity = &self.columns[column.at].validity;
        validity.as_ref().is_none_or(|validity| bits::get(validity, row))
    }

    /// A row, for the columns that are no slices.
    pub fn row(&self, row: usize) -> Row<'a> {
        Row { columns: self.columns, row }
    }
}

/// What [`Process::Key`](super::Process::Key) may be: a [`Record`], or `()` for an operator without a key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "neither a record nor `()`",
    note = "a key is a record with a field for each column of the job's `key_by`, also when there is only one"
)]
pub trait Key<'a>: Sized {
    #[doc(hidden)]
    const KEYED: bool;
    #[doc(hidden)]
    type Reader;
    #[doc(hidden)]
    type Builder: Builder;
    #[doc(hidden)]
    fn describe(schema: &mut Schema);
    #[doc(hidden)]
    fn reader(columns: &'a [columns::Column]) -> Self::Reader;
    #[doc(hidden)]
    fn read(reader: &Self::Reader, group: usize) -> Self;
    #[doc(hidden)]
    fn write(&self, builder: &mut Self::Builder);
}

impl<'a, T: Record<'a>> Key<'a> for T {
    const KEYED: bool = true;
    type Reader = T::Reader;
    type Builder = T::Builder;
    fn describe(schema: &mut Schema) {
        T::describe_fields(schema);
    }
    fn reader(columns: &'a [columns::Column]) -> Self::Reader {
        T::read_fields(&mut Cursor::new(columns))
    }
    #[inline(always)]
    fn read(reader: &Self::Reader, group: usize) -> Self {
        T::read_record(reader, group)
    }
    fn write(&self, builder: &mut Self::Builder) {
        self.write_record(builder);
    }
}

impl<'a> Key<'a> for () {
    const KEYED: bool = false;
    type Reader = ();
    type Builder = NoColumns;
    fn describe(_: &mut Schema) {}
    fn reader(_: &'a [columns::Column]) {}
    fn read(_: &(), _: usize) {}
    fn write(&self, _: &mut NoColumns) {}
}
