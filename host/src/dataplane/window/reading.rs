//! Reads a column value by value, widened, for the rows of a pane, without the nulls.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType as A;

use crate::model::schema::DataType;

/// Which rows go to which group.
#[derive(Clone, Copy, Debug)]
pub struct GroupedRows<'a> {
    /// Row numbers of the columns; `None` = all of them, in order.
    pub rows: Option<&'a [u32]>,
    /// The group of each of these rows: a row of the pane's table.
    pub groups: &'a [u32],
}

impl GroupedRows<'_> {
    /// Calls `visit(row, group)` for each row that is not null.
    #[inline(always)]
    fn visit(self, nulls: Option<&NullBuffer>, mut visit: impl FnMut(usize, usize)) {
        match (self.rows, nulls.filter(|nulls| nulls.null_count() > 0)) {
            (None, None) => self.groups.iter().enumerate().for_each(|(row, group)| visit(row, *group as usize)),
            (Some(rows), None) => {
                rows.iter().zip(self.groups).for_each(|(row, group)| visit(*row as usize, *group as usize));
            }
            (rows, Some(nulls)) => {
                for (i, group) in self.groups.iter().enumerate() {
                    let row = rows.map_or(i, |rows| rows[i] as usize);
                    if nulls.is_valid(row) {
                        visit(row, *group as usize);
                    }
                }
            }
        }
    }

    /// The groups of the rows that are not null.
    pub fn valid(self, column: &ArrayRef, mut visit: impl FnMut(usize)) {
        self.visit(column.nulls(), |_, group| visit(group));
    }

    pub fn signed(self, column: &ArrayRef, visit: impl FnMut(usize, i64)) {
        match column.data_type() {
            A::Int8 => self.primitive::<Int8Type, _>(column, visit),
            A::Int16 => self.primitive::<Int16Type, _>(column, visit),
            A::Int32 => self.primitive::<Int32Type, _>(column, visit),
            A::Int64 => self.primitive::<Int64Type, _>(column, visit),
            A::Timestamp(..) => self.primitive::<TimestampMicrosecondType, _>(column, visit),
            A::Duration(_) => self.primitive::<DurationMicrosecondType, _>(column, visit),
            A::Date32 => self.primitive::<Date32Type, _>(column, visit),
            other => unreachable!("{other} is not read as a signed integer"),
        }
    }

    pub fn unsigned(self, column: &ArrayRef, mut visit: impl FnMut(usize, u64)) {
        match column.data_type() {
            A::Boolean => {
                let values = column.as_boolean().values();
                self.visit(column.nulls(), |row, group| visit(group, u64::from(values.value(row))));
            }
            A::UInt8 => self.primitive::<UInt8Type, _>(column, visit),
            A::UInt16 => self.primitive::<UInt16Type, _>(column, visit),
            A::UInt32 => self.primitive::<UInt32Type, _>(column, visit),
            A::UInt64 => self.primitive::<UInt64Type, _>(column, visit),
            other => unreachable!("{other} is not read as an unsigned integer"),
        }
    }

    pub fn floats(self, column: &ArrayRef, visit: impl FnMut(usize, f64)) {
        match column.data_type() {
            A::Float32 => self.primitive::<Float32Type, _>(column, visit),
            A::Float64 => self.primitive::<Float64Type, _>(column, visit),
            other => unreachable!("{other} is not read as a float"),
        }
    }

    pub fn decimals(self, column: &ArrayRef, visit: impl FnMut(usize, i128)) {
        self.primitive::<Decimal128Type, _>(column, visit);
    }

    pub fn bytes(self, column: &ArrayRef, mut visit: impl FnMut(usize, &[u8])) {
        match column.data_type() {
            A::Utf8 => {
                let values = column.as_string::<i32>();
                self.visit(column.nulls(), |row, group| visit(group, values.value(row).as_bytes()));
            }
            A::Binary => {
                let values = column.as_binary::<i32>();
                self.visit(column.nulls(), |row, group| visit(group, values.value(row)));
            }
            A::FixedSizeBinary(_) => {
                let values = column.as_fixed_size_binary();
                self.visit(column.nulls(), |row, group| visit(group, values.value(row)));
            }
            other => unreachable!("{other} is not read as bytes"),
        }
    }

    #[inline(always)]
    fn primitive<T: ArrowPrimitiveType, W: From<T::Native>>(self, column: &ArrayRef, mut visit: impl FnMut(usize, W)) {
        let values = column.as_primitive::<T>().values();
        self.visit(column.nulls(), |row, group| visit(group, W::from(values[row])));
    }
}

/// How values of a type are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Signed,
    Unsigned,
    Float,
    Decimal,
    Bytes,
}

impl Reading {
    pub fn of(data_type: &DataType) -> Self {
        use DataType::*;
        match data_type {
            I8 | I16 | I32 | I64 | Timestamp | Date | Duration => Self::Signed,
            Boolean | U8 | U16 | U32 | U64 => Self::Unsigned,
            F32 | F64 => Self::Float,
            Decimal { .. } => Self::Decimal,
            Text | Bytes | FixedBytes(_) => Self::Bytes,
            List(_) | Struct(_) => unreachable!("the plan refuses to aggregate {data_type}"),
        }
    }
}
