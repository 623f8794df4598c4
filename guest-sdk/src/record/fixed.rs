//! Values of a fixed number of bytes, and decimals.

use super::{Builder, Cursor, Field, Shape, mismatch};
use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::bindings::wasmill::operator::schemas::DecimalType;
use crate::decimal::Decimal;
use crate::schema::{DataType, Schema};

/// Values of `N` bytes each.
#[doc(hidden)]
#[derive(Default)]
pub struct Fixed<const N: usize> {
    data: Vec<u8>,
}

impl<const N: usize> Builder for Fixed<N> {
    fn reserve(&mut self, rows: usize) {
        self.data.reserve(rows * N);
    }
    fn push_default(&mut self) {
        self.data.extend_from_slice(&[0; N]);
    }
    fn truncate(&mut self, rows: usize) {
        self.data.truncate(rows * N);
    }
    fn bytes(&self) -> usize {
        self.data.len()
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        columns.push(Column {
            validity: None,
            values: Values::Fixed(std::mem::take(&mut self.data)),
        });
    }
}

macro_rules! fixed_reader {
    () => {
        fn reader(columns: &mut Cursor<'a>) -> Self::Reader {
            let column = columns.take();
            let Values::Fixed(data) = &column.values else {
                mismatch("fixed", column)
            };
            data
        }
    };
}

impl<'a, const N: usize> Field<'a> for [u8; N] {
    type Reader = &'a [u8];
    type Builder = Fixed<N>;
    fn describe(name: &str, nullable: bool, schema: &mut Schema) {
        schema.push(name, DataType::FixedBytes(N as u32), nullable);
    }
    fixed_reader!();
    #[inline(always)]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        reader[row * N..][..N]
            .try_into()
            .expect("a slice of N bytes")
    }
    #[inline(always)]
    fn write(&self, builder: &mut Self::Builder) {
        builder.data.extend_from_slice(self);
    }
}

impl<'a, const P: u8, const S: i8> Field<'a> for Decimal<P, S> {
    type Reader = &'a [u8];
    type Builder = Fixed<16>;
    fn describe(name: &str, nullable: bool, schema: &mut Schema) {
        schema.push(
            name,
            DataType::Decimal(DecimalType {
                precision: P,
                scale: S,
            }),
            nullable,
        );
    }
    fixed_reader!();
    #[inline(always)]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        Decimal(i128::from_le_bytes(<[u8; 16]>::read(reader, row)))
    }
    #[inline(always)]
    fn write(&self, builder: &mut Self::Builder) {
        builder.data.extend_from_slice(&self.0.to_le_bytes());
    }
}

impl<const N: usize> Shape for [u8; N] {
    type Of<'a> = Self;
}

impl<const P: u8, const S: i8> Shape for Decimal<P, S> {
    type Of<'a> = Self;
}
