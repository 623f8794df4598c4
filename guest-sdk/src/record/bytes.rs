//! Text and bytes: values of any length.

use super::{Builder, Cursor, Field, Rows, Shape, mismatch};
use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::process::OUTPUT_LIMIT;
use crate::schema::{DataType, Schema};
use crate::trusted;

/// How long a value is taken to be before the first batch has shown it.
const GUESS: usize = 16;

/// A column of text or bytes, prepared for reading.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesReader<'a> {
    rows: Rows<'a>,
    offsets: &'a [i32],
    data: &'a [u8],
}

impl<'a> BytesReader<'a> {
    fn new(columns: &mut Cursor<'a>) -> Self {
        let (rows, column) = columns.take_indexed();
        let Values::Variable(values) = &column.values else { mismatch("variable", column) };
        Self { rows, offsets: &values.offsets, data: &values.data }
    }

    #[inline(always)]
    fn get(&self, row: usize) -> &'a [u8] {
        let row = self.rows.at(row);
        let ends = &self.offsets[row..row + 2];
        &self.data[ends[0] as usize..ends[1] as usize]
    }
}

/// Text or bytes in the making.
#[doc(hidden)]
#[derive(Default)]
pub struct BytesBuilder {
    offsets: Vec<i32>,
    data: Vec<u8>,
    /// the rows and bytes of the batch before: the next will be alike
    last: Option<(usize, usize)>,
}

impl BytesBuilder {
    #[inline(always)]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.offsets.push(offset(self.data.len()));
    }
}

/// A position in a column's data, which has at most 2 GiB.
#[inline(always)]
pub(super) fn offset(at: usize) -> i32 {
    debug_assert!(i32::try_from(at).is_ok());
    at as i32
}

impl Builder for BytesBuilder {
    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows + 1);
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let more = match self.last {
            None => rows * GUESS,
            // In 64 bits, because the product is too large for those of the sandbox.
            Some((last, bytes)) => ((bytes + bytes / 16) as u64 * rows as u64 / last.max(1) as u64) as usize,
        };
        self.data.reserve(more.min(OUTPUT_LIMIT));
    }
    fn push_default(&mut self) {
        self.push(&[]);
    }
    fn truncate(&mut self, rows: usize) {
        if rows < self.offsets.len() {
            self.offsets.truncate(rows + 1);
            self.data.truncate(self.offsets[rows] as usize);
        }
    }
    #[inline]
    fn bytes(&self) -> usize {
        4 * self.offsets.len() + self.data.len()
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        let mut offsets = std::mem::take(&mut self.offsets);
        if offsets.is_empty() {
            offsets.push(0);
        } else {
            self.last = Some((offsets.len() - 1, self.data.len()));
        }
        let data = std::mem::take(&mut self.data);
        columns.push(Column { validity: None, values: Values::Variable(Variable { offsets, data }) });
    }
}

macro_rules! variable {
    ($data_type:expr, $value:ident => $read:expr, $self:ident => $bytes:expr) => {
        fn describe(name: &str, nullable: bool, schema: &mut Schema) {
            schema.push(name, $data_type, nullable);
        }
        fn reader(columns: &mut Cursor<'a>) -> Self::Reader {
            BytesReader::new(columns)
        }
        #[inline(always)]
        fn read(reader: &Self::Reader, row: usize) -> Self {
            let $value = reader.get(row);
            $read
        }
        #[inline(always)]
        fn write(&$self, builder: &mut Self::Builder) {
            builder.push($bytes);
        }
    };
}

impl<'a> Field<'a> for &'a str {
    type Reader = BytesReader<'a>;
    type Builder = BytesBuilder;
    variable!(DataType::Text, value => trusted::text(value), self => self.as_bytes());
}

impl<'a> Field<'a> for String {
    type Reader = BytesReader<'a>;
    type Builder = BytesBuilder;
    variable!(DataType::Text, value => trusted::text(value).to_owned(), self => self.as_bytes());
}

impl<'a> Field<'a> for &'a [u8] {
    type Reader = BytesReader<'a>;
    type Builder = BytesBuilder;
    variable!(DataType::Bytes, value => value, self => self);
}

impl Shape for &'static str {
    type Of<'a> = &'a str;
}

impl Shape for String {
    type Of<'a> = String;
}

impl Shape for &'static [u8] {
    type Of<'a> = &'a [u8];
}
