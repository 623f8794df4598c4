//! The event time of each row, from the column that the job names.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_buffer::ScalarBuffer;
use chrono::DateTime;

use crate::model::schema::DataType;
use crate::plan::connector::{TimePlan, TimeUnit};

/// Times of all rows, and the rows that have none.
pub struct EventTimes {
    /// Microseconds; of a row without a time it means nothing.
    pub times: ScalarBuffer<i64>,
    /// Row, and why it has no time.
    pub missing: Vec<(u32, String)>,
}

/// `rows` are the ones that count. The plan has checked the column's type: an integer of at most 64 bits with a unit,
/// a timestamp, or text.
pub fn extract(column: &ArrayRef, plan: &TimePlan, data_type: &DataType, rows: Option<&[u32]>) -> EventTimes {
    match (plan.unit, data_type) {
        (TimeUnit::Rfc3339, _) => from_text(column, rows),
        (TimeUnit::Timestamp, _) => from_numbers::<TimestampMicrosecondType>(column, Some, rows),
        (unit, DataType::I8) => from_numbers::<Int8Type>(column, |n| micros(unit, n.into()), rows),
        (unit, DataType::I16) => from_numbers::<Int16Type>(column, |n| micros(unit, n.into()), rows),
        (unit, DataType::I32) => from_numbers::<Int32Type>(column, |n| micros(unit, n.into()), rows),
        (unit, DataType::I64) => from_numbers::<Int64Type>(column, |n| micros(unit, n), rows),
        (unit, DataType::U8) => from_numbers::<UInt8Type>(column, |n| micros(unit, n.into()), rows),
        (unit, DataType::U16) => from_numbers::<UInt16Type>(column, |n| micros(unit, n.into()), rows),
        (unit, DataType::U32) => from_numbers::<UInt32Type>(column, |n| micros(unit, n.into()), rows),
        (unit, DataType::U64) => {
            from_numbers::<UInt64Type>(column, |n| i64::try_from(n).ok().and_then(|n| micros(unit, n)), rows)
        }
        (_, other) => unreachable!("the plan refuses an event time of type {other}"),
    }
}

#[inline]
fn micros(unit: TimeUnit, number: i64) -> Option<i64> {
    match unit {
        TimeUnit::Seconds => number.checked_mul(1_000_000),
        TimeUnit::Millis => number.checked_mul(1_000),
        TimeUnit::Micros | TimeUnit::Timestamp | TimeUnit::Rfc3339 => Some(number),
        TimeUnit::Nanos => Some(number.div_euclid(1_000)),
    }
}

fn from_numbers<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    micros: impl Fn(T::Native) -> Option<i64>,
    rows: Option<&[u32]>,
) -> EventTimes
where
    T::Native: std::fmt::Display,
{
    let values = column.as_primitive::<T>().values();
    let mut times = Vec::with_capacity(values.len());
    let mut any_missing = column.null_count() > 0;
    for value in values {
        let time = micros(*value);
        any_missing |= time.is_none();
        times.push(time.unwrap_or(0));
    }
    let mut missing = Vec::new();
    if any_missing {
        each_row(column.len(), rows, |row| {
            if column.is_null(row) {
                missing.push((row as u32, "its event time is null".to_owned()));
            } else if micros(values[row]).is_none() {
                missing.push((row as u32, format!("its event time {} is out of range", values[row])));
            }
        });
    }
    EventTimes { times: times.into(), missing }
}

fn from_text(column: &ArrayRef, rows: Option<&[u32]>) -> EventTimes {
    let texts = column.as_string::<i32>();
    let mut times = vec![0; column.len()];
    let mut missing = Vec::new();
    each_row(column.len(), rows, |row| {
        if texts.is_null(row) {
            missing.push((row as u32, "its event time is null".to_owned()));
            return;
        }
        match DateTime::parse_from_rfc3339(texts.value(row)) {
            Ok(time) => times[row] = time.timestamp_micros(),
            Err(error) => {
                let text = texts.value(row);
                missing.push((row as u32, format!("its event time {text:?} is not RFC 3339: {error}")));
            }
        }
    });
    EventTimes { times: times.into(), missing }
}

fn each_row(all: usize, rows: Option<&[u32]>, mut act: impl FnMut(usize)) {
    match rows {
        None => (0..all).for_each(act),
        Some(rows) => rows.iter().for_each(|row| act(*row as usize)),
    }
}
