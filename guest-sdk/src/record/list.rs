//! Lists: a `Vec` of any field type. Bytes are a list too, see `u8`.

use super::bytes::offset;
use super::{Builder, Cursor, Field, Rows, Shape};
use crate::bindings::wasmill::operator::columns::Column;
use crate::schema::Schema;

/// A column of lists, prepared for reading.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ListReader<'a, R> {
    rows: Rows<'a>,
    offsets: &'a [i32],
    elements: R,
}

/// Lists in the making.
#[doc(hidden)]
#[derive(Default)]
pub struct ListBuilder<B> {
    offsets: Vec<i32>,
    elements: B,
    count: usize,
}

impl<B: Builder> Builder for ListBuilder<B> {
    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows + 1);
        if self.offsets.is_empty() {
            self.offsets.push(0);
            self.elements.reserve(rows);
        }
    }
    fn push_default(&mut self) {
        self.offsets.push(offset(self.count));
    }
    fn truncate(&mut self, rows: usize) {
        if rows < self.offsets.len() {
            self.offsets.truncate(rows + 1);
            self.count = self.offsets[rows] as usize;
            self.elements.truncate(self.count);
        }
    }
    fn bytes(&self) -> usize {
        4 * self.offsets.len() + self.elements.bytes()
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        let mut offsets = std::mem::take(&mut self.offsets);
        if offsets.is_empty() {
            offsets.push(0);
        }
        self.count = 0;
        self.elements.finish_list(offsets, columns);
    }
}

impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    type Reader = ListReader<'a, T::Reader>;
    type Builder = ListBuilder<T::Builder>;
    fn describe(name: &str, nullable: bool, schema: &mut Schema) {
        T::describe_list(name, nullable, schema);
    }
    fn reader(columns: &mut Cursor<'a>) -> Self::Reader {
        let (rows, offsets, elements) = T::list_reader(columns);
        ListReader {
            rows,
            offsets,
            elements,
        }
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        let row = reader.rows.at(row);
        let ends = &reader.offsets[row..row + 2];
        T::read_list(&reader.elements, ends[0] as usize..ends[1] as usize)
    }
    fn write(&self, builder: &mut Self::Builder) {
        T::write_list(self, &mut builder.elements);
        builder.count += self.len();
        builder.offsets.push(offset(builder.count));
    }
}

impl<T: Shape> Shape for Vec<T> {
    type Of<'a> = Vec<T::Of<'a>>;
}
