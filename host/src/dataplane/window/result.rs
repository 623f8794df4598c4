//! The result columns of native aggregates.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::*;
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Float64Array, PrimitiveArray, StringArray,
    builder::FixedSizeBinaryBuilder,
};

use crate::model::schema::DataType;

use super::cells::{ExactSum, OVERFLOWED};
use super::native::{Function, Native, NativeCells};

/// The result of a group does not fit the column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    pub row: usize,
}

impl Native {
    /// The results of these cells.
    pub fn results(&self, cells: &NativeCells, rows: Range<usize>) -> Result<ArrayRef, Overflow> {
        let first = rows.start;
        let at = |overflow: Overflow| Overflow { row: first + overflow.row };
        let column: ArrayRef = match (cells, self.function) {
            (NativeCells::Counts(counts), _) => {
                integers(counts[rows].iter().map(|count| Some(i128::from(*count))), &self.output).map_err(at)?
            }
            (NativeCells::Sums(sums), Function::Avg) => self.averages(&sums[rows]).map_err(at)?,
            (NativeCells::Sums(sums), _) => {
                integers(sums[rows].iter().map(|sum| (sum.count > 0).then_some(sum.sum)), &self.output).map_err(at)?
            }
            (NativeCells::FloatSums(sums), Function::Avg) => Arc::new(Float64Array::from_iter(
                sums[rows].iter().map(|sum| (sum.count > 0).then(|| sum.sum.value() / sum.count as f64)),
            )),
            (NativeCells::FloatSums(sums), _) => {
                Arc::new(Float64Array::from_iter(sums[rows].iter().map(|sum| (sum.count > 0).then(|| sum.sum.value()))))
            }
            (NativeCells::Signed(best), _) => {
                integers(best[rows].iter().map(|best| best.map(i128::from)), &self.output).map_err(at)?
            }
            (NativeCells::Unsigned(best), _) => {
                integers(best[rows].iter().map(|best| best.map(i128::from)), &self.output).map_err(at)?
            }
            (NativeCells::Decimals(best), _) => integers(best[rows].iter().copied(), &self.output).map_err(at)?,
            (NativeCells::Floats(best), _) if self.output == DataType::F32 => {
                primitive::<Float32Type>(best[rows].iter().map(|best| best.map(|best| best as f32)), &self.output)
            }
            (NativeCells::Floats(best), _) => primitive::<Float64Type>(best[rows].iter().copied(), &self.output),
            (NativeCells::Bytes(best), _) => bytes(&best[rows], &self.output),
        };
        Ok(column)
    }

    fn averages(&self, sums: &[ExactSum]) -> Result<ArrayRef, Overflow> {
        if let Some(row) = sums.iter().position(|sum| sum.sum == OVERFLOWED) {
            return Err(Overflow { row });
        }
        let one = 10f64.powi(self.scale.into());
        let average = |sum: &ExactSum| (sum.count > 0).then(|| sum.sum as f64 / one / sum.count as f64);
        Ok(Arc::new(Float64Array::from_iter(sums.iter().map(average))))
    }
}

/// A column of any type whose values are integers inside.
fn integers(values: impl Iterator<Item = Option<i128>>, output: &DataType) -> Result<ArrayRef, Overflow> {
    match output {
        DataType::Boolean => Ok(Arc::new(BooleanArray::from_iter(values.map(|value| value.map(|value| value != 0))))),
        DataType::I8 => narrow::<Int8Type>(values, output),
        DataType::I16 => narrow::<Int16Type>(values, output),
        DataType::I32 => narrow::<Int32Type>(values, output),
        DataType::I64 => narrow::<Int64Type>(values, output),
        DataType::U8 => narrow::<UInt8Type>(values, output),
        DataType::U16 => narrow::<UInt16Type>(values, output),
        DataType::U32 => narrow::<UInt32Type>(values, output),
        DataType::U64 => narrow::<UInt64Type>(values, output),
        DataType::Timestamp => narrow::<TimestampMicrosecondType>(values, output),
        DataType::Duration => narrow::<DurationMicrosecondType>(values, output),
        DataType::Date => narrow::<Date32Type>(values, output),
        DataType::Decimal { precision, .. } => {
            let bound = 10i128.pow(u32::from(*precision));
            checked::<Decimal128Type>(values, output, |value| (-bound < value && value < bound).then_some(value))
        }
        other => unreachable!("the plan gives no integer aggregate the type {other}"),
    }
}

fn narrow<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<i128>>,
    output: &DataType,
) -> Result<ArrayRef, Overflow>
where
    T::Native: TryFrom<i128>,
{
    checked::<T>(values, output, |value| T::Native::try_from(value).ok())
}

fn checked<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<i128>>,
    output: &DataType,
    fit: impl Fn(i128) -> Option<T::Native>,
) -> Result<ArrayRef, Overflow> {
    let fitted: Result<Vec<Option<T::Native>>, Overflow> = values
        .enumerate()
        .map(|(row, value)| value.map(|value| fit(value).ok_or(Overflow { row })).transpose())
        .collect();
    Ok(primitive::<T>(fitted?.into_iter(), output))
}

fn primitive<T: ArrowPrimitiveType>(values: impl Iterator<Item = Option<T::Native>>, output: &DataType) -> ArrayRef {
    Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(output.to_arrow()))
}

fn bytes(values: &[Option<Box<[u8]>>], output: &DataType) -> ArrayRef {
    let values = values.iter().map(Option::as_deref);
    match output {
        DataType::Text => Arc::new(StringArray::from_iter(
            values.map(|value| value.map(|text| str::from_utf8(text).expect("it was a text"))),
        )),
        DataType::FixedBytes(width) => {
            let mut column = FixedSizeBinaryBuilder::with_capacity(values.len(), *width as i32);
            for value in values {
                match value {
                    Some(value) => column.append_value(value).expect("of the width of the column"),
                    None => column.append_null(),
                }
            }
            Arc::new(column.finish())
        }
        _ => Arc::new(BinaryArray::from_iter(values)),
    }
}
