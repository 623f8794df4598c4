//! Integers, floats, booleans, and the times that are integers.

use super::bits::{self, Bitmap};
use super::{Builder, Cursor, Field, Rows, Shape, mismatch};
use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::schema::{DataType, IntegerType, Schema};
use crate::time::{Date, Duration, Timestamp};
use std::ops::Range;

/// Numbers of one type.
#[doc(hidden)]
#[derive(Default)]
pub struct Numbers<T> {
    values: Vec<T>,
}

macro_rules! builder {
    ($number:ty, $values:ident $(, $list:item)?) => {
        impl Builder for Numbers<$number> {
            fn reserve(&mut self, rows: usize) {
                self.values.reserve(rows);
            }
            fn push_default(&mut self) {
                self.values.push(Default::default());
            }
            fn truncate(&mut self, rows: usize) {
                self.values.truncate(rows);
            }
            #[inline]
            fn bytes(&self) -> usize {
                size_of::<$number>() * self.values.len()
            }
            fn finish(&mut self, columns: &mut Vec<Column>) {
                let values = Values::$values(std::mem::take(&mut self.values));
                columns.push(Column { validity: None, values });
            }
            $($list)?
        }
    };
}

macro_rules! reader {
    ($values:ident) => {
        fn reader(columns: &mut Cursor<'a>) -> Self::Reader {
            let column = columns.take();
            let Values::$values(values) = &column.values else {
                mismatch(stringify!($values), column)
            };
            values
        }
    };
}

macro_rules! number {
    ($number:ty, $values:ident, $data_type:expr $(, { $($list:item)* })?) => {
        impl<'a> Field<'a> for $number {
            type Reader = &'a [$number];
            type Builder = Numbers<$number>;
            fn describe(name: &str, nullable: bool, schema: &mut Schema) {
                schema.push(name, $data_type, nullable);
            }
            reader!($values);
            #[inline(always)]
            fn read(reader: &Self::Reader, row: usize) -> Self {
                reader[row]
            }
            #[inline(always)]
            fn write(&self, builder: &mut Self::Builder) {
                builder.values.push(*self);
            }
            $($($list)*)?
        }
        impl Shape for $number {
            type Of<'a> = Self;
        }
    };
}

macro_rules! wrapper {
    ($wrapper:ident, $number:ty, $values:ident, $data_type:expr) => {
        impl<'a> Field<'a> for $wrapper {
            type Reader = &'a [$number];
            type Builder = Numbers<$number>;
            fn describe(name: &str, nullable: bool, schema: &mut Schema) {
                schema.push(name, $data_type, nullable);
            }
            reader!($values);
            #[inline(always)]
            fn read(reader: &Self::Reader, row: usize) -> Self {
                $wrapper(reader[row])
            }
            #[inline(always)]
            fn write(&self, builder: &mut Self::Builder) {
                builder.values.push(self.0);
            }
        }
        impl Shape for $wrapper {
            type Of<'a> = Self;
        }
    };
}

builder!(i8, S8s);
builder!(i16, S16s);
builder!(i32, S32s);
builder!(i64, S64s);
builder!(
    u8,
    U8s,
    fn finish_list(&mut self, offsets: Vec<i32>, columns: &mut Vec<Column>) {
        let data = std::mem::take(&mut self.values);
        columns.push(Column {
            validity: None,
            values: Values::Variable(Variable { offsets, data }),
        });
    }
);
builder!(u16, U16s);
builder!(u32, U32s);
builder!(u64, U64s);
builder!(f32, F32s);
builder!(f64, F64s);

number!(i8, S8s, DataType::Integer(IntegerType::S8));
number!(i16, S16s, DataType::Integer(IntegerType::S16));
number!(i32, S32s, DataType::Integer(IntegerType::S32));
number!(i64, S64s, DataType::Integer(IntegerType::S64));
number!(u16, U16s, DataType::Integer(IntegerType::U16));
number!(u32, U32s, DataType::Integer(IntegerType::U32));
number!(u64, U64s, DataType::Integer(IntegerType::U64));
number!(f32, F32s, DataType::Float32);
number!(f64, F64s, DataType::Float64);
// A `Vec<u8>` is bytes, not a sequence of small numbers.
number!(u8, U8s, DataType::Integer(IntegerType::U8), {
    fn describe_list(name: &str, nullable: bool, schema: &mut Schema) {
        schema.push(name, DataType::Bytes, nullable);
    }
    fn list_reader(columns: &mut Cursor<'a>) -> (Rows<'a>, &'a [i32], Self::Reader) {
        let (rows, column) = columns.take_indexed();
        let Values::Variable(values) = &column.values else {
            mismatch("variable", column)
        };
        (rows, &values.offsets, &values.data)
    }
    fn read_list(reader: &Self::Reader, rows: Range<usize>) -> Vec<Self> {
        reader[rows].to_vec()
    }
    fn write_list(items: &[Self], builder: &mut Self::Builder) {
        builder.values.extend_from_slice(items);
    }
});

wrapper!(Timestamp, i64, S64s, DataType::Timestamp);
wrapper!(Duration, i64, S64s, DataType::Duration);
wrapper!(Date, i32, S32s, DataType::Date);

/// Booleans.
#[doc(hidden)]
#[derive(Default)]
pub struct Booleans {
    values: Bitmap,
}

impl Builder for Booleans {
    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }
    fn push_default(&mut self) {
        self.values.push(false);
    }
    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }
    fn bytes(&self) -> usize {
        self.values.bytes()
    }
    fn finish(&mut self, columns: &mut Vec<Column>) {
        columns.push(Column {
            validity: None,
            values: Values::Booleans(self.values.take()),
        });
    }
}

impl<'a> Field<'a> for bool {
    type Reader = &'a [u8];
    type Builder = Booleans;
    fn describe(name: &str, nullable: bool, schema: &mut Schema) {
        schema.push(name, DataType::Boolean, nullable);
    }
    reader!(Booleans);
    #[inline(always)]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        bits::get(reader, row)
    }
    #[inline(always)]
    fn write(&self, builder: &mut Self::Builder) {
        builder.values.push(*self);
    }
}

impl Shape for bool {
    type Of<'a> = Self;
}
