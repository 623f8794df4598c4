//! What an operator emits: new rows, its input's with columns added, or its input's as they are.

use crate::bindings::wasmill::operator::columns::Column;
use crate::record::{Builder, Cursor, Record};
use crate::schema::Schema;

/// What [`Process::Out`](super::Process::Out) may be: a [`Record`], [`Extend`] or [`Keep`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be emitted",
    label = "neither a record nor `Extend<..>` nor `Keep`",
    note = "`#[derive(Record)]` makes a struct with named fields a record"
)]
pub trait Output<'a>: Sized {
    #[doc(hidden)]
    type Builder: Builder;
    #[doc(hidden)]
    type Reader;
    #[doc(hidden)]
    const EXTENDS: bool;
    #[doc(hidden)]
    fn describe(schema: &mut Schema);
    #[doc(hidden)]
    fn write(&self, builder: &mut Self::Builder);
    #[doc(hidden)]
    fn reader(columns: &'a [Column]) -> Self::Reader;
    #[doc(hidden)]
    fn read(reader: &Self::Reader, row: usize) -> Self;
}

/// The input row with the columns of `T` written: those that it has are replaced, the others are added.
///
/// Only the columns of `T` cross the boundary. A timer has no input row, so it cannot emit this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extend<T>(pub T);

/// The input row as it is: `cx.emit(Keep)` is a filter. Nothing but row numbers crosses the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep;

macro_rules! of_record {
    ($extends:expr, $self:ident => $record:expr, $read:ident => $make:expr) => {
        type Builder = T::Builder;
        type Reader = T::Reader;
        const EXTENDS: bool = $extends;
        fn describe(schema: &mut Schema) {
            T::describe_fields(schema);
        }
        #[inline(always)]
        fn write(&$self, builder: &mut Self::Builder) {
            $record.write_record(builder);
        }
        fn reader(columns: &'a [Column]) -> Self::Reader {
            T::read_fields(&mut Cursor::new(columns))
        }
        fn read(reader: &Self::Reader, row: usize) -> Self {
            let $read = T::read_record(reader, row);
            $make
        }
    };
}

impl<'a, T: Record<'a>> Output<'a> for T {
    of_record!(false, self => self, record => record);
}

impl<'a, T: Record<'a>> Output<'a> for Extend<T> {
    of_record!(true, self => self.0, record => Extend(record));
}

impl<'a> Output<'a> for Keep {
    type Builder = NoColumns;
    type Reader = ();
    const EXTENDS: bool = true;
    fn describe(_: &mut Schema) {}
    #[inline(always)]
    fn write(&self, _: &mut NoColumns) {}
    fn reader(_: &'a [Column]) {}
    fn read(_: &(), _: usize) -> Self {
        Keep
    }
}

/// Rows without columns of their own.
#[doc(hidden)]
#[derive(Default)]
pub struct NoColumns;

impl Builder for NoColumns {
    fn reserve(&mut self, _: usize) {}
    fn push_default(&mut self) {}
    fn truncate(&mut self, _: usize) {}
    fn bytes(&self) -> usize {
        0
    }
    fn finish(&mut self, _: &mut Vec<Column>) {}
}
