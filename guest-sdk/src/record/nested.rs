//! Records as fields of records.

use super::{Builder, Cursor, Field, Record, mismatch};
use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::schema::{DataType, Schema};

/// A record's columns below the column that they are the fields of.
#[doc(hidden)]
#[derive(Default)]
pub struct Structure<B> {
    fields: B,
}

impl<B: Builder> Builder for Structure<B> {
    fn reserve(&mut self, rows: usize) {
        self.fields.reserve(rows);
    }
    fn push_default(&mut self) {
        self.fields.push_default();
    }
    fn truncate(&mut self, rows: usize) {
        self.fields.truncate(rows);
    }
    fn bytes(&self) -> usize {
        self.fields.bytes()
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        columns.push(Column {
            validity: None,
            values: Values::Structures,
        });
        self.fields.finish(columns);
    }
}

impl<'a, T: Record<'a>> Field<'a> for T {
    type Reader = T::Reader;
    type Builder = Structure<T::Builder>;
    fn describe(name: &str, nullable: bool, schema: &mut Schema) {
        schema.push(name, DataType::Structure(T::FIELDS), nullable);
        T::describe_fields(schema);
    }
    fn reader(columns: &mut Cursor<'a>) -> Self::Reader {
        let column = columns.take();
        let Values::Structures = &column.values else {
            mismatch("structures", column)
        };
        T::read_fields(columns)
    }
    #[inline(always)]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        T::read_record(reader, row)
    }
    #[inline(always)]
    fn write(&self, builder: &mut Self::Builder) {
        self.write_record(&mut builder.fields);
    }
}
