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
        let Values::Variable(values) = &column.values else {
            mismatch("variable", column)
        };
        Self {
            rows,
            offsets: &values.offsets,
            data: &values.data,
        }
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
    /// as long as there is room: what counts are the first `len` bytes
    data: Vec<u8>,
    len: usize,
    /// the rows and bytes of the batch before: the next will be alike
    last: Option<(usize, usize)>,
}

impl BytesBuilder {
    #[inline(always)]
    pub(crate) fn push(&mut self, value: &[u8]) {
        let start = self.len;
        self.len += value.len();
        if self.len > self.data.len() {
            self.grow();
        }
        copy(&mut self.data[start..self.len], value);
        self.offsets.push(offset(self.len));
    }

    #[cold]
    fn grow(&mut self) {
        self.data.resize(self.len.max(2 * self.data.len()), 0);
    }
}

/// Copies a value. Short ones go by words: in Wasm that is twice as fast as `memory.copy`.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    const WORD: usize = 8;
    let len = from.len();
    assert!(to.len() == len);
    if !(WORD..=4 * WORD).contains(&len) {
        return to.copy_from_slice(from);
    }
    let mut at = 0;
    while at + WORD <= len {
        to[at..at + WORD].copy_from_slice(&from[at..at + WORD]);
        at += WORD;
    }
    // The last word overlaps the one before.
    to[len - WORD..].copy_from_slice(&from[len - WORD..]);
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
            Some((last, bytes)) => {
                ((bytes + bytes / 16) as u64 * rows as u64 / last.max(1) as u64) as usize
            }
        };
        if self.data.is_empty() {
            self.data = vec![0; more.min(OUTPUT_LIMIT)];
        }
    }
    fn push_default(&mut self) {
        self.push(&[]);
    }
    fn truncate(&mut self, rows: usize) {
        if rows < self.offsets.len() {
            self.offsets.truncate(rows + 1);
            self.len = self.offsets[rows] as usize;
        }
    }
    #[inline]
    fn bytes(&self) -> usize {
        4 * self.offsets.len() + self.len
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        let mut offsets = std::mem::take(&mut self.offsets);
        if offsets.is_empty() {
            offsets.push(0);
        } else {
            self.last = Some((offsets.len() - 1, self.len));
        }
        let mut data = std::mem::take(&mut self.data);
        data.truncate(std::mem::take(&mut self.len));
        columns.push(Column {
            validity: None,
            values: Values::Variable(Variable { offsets, data }),
        });
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
