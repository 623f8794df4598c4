//! Columns of encoded values: `fixed` when their type has a width, otherwise `variable`; null = absent.

use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::record::bits;

pub(crate) fn pack<'v>(values: impl ExactSizeIterator<Item = Option<&'v [u8]>>, width: Option<usize>) -> Column {
    let mut validity = vec![0; values.len().div_ceil(8)];
    let mut data = Vec::new();
    let mut offsets = vec![0];
    for (at, value) in values.enumerate() {
        bits::put(&mut validity, at, value.is_some());
        match (value, width) {
            (Some(value), _) => data.extend_from_slice(value),
            (None, Some(width)) => data.resize(data.len() + width, 0),
            (None, None) => {}
        }
        offsets.push(data.len() as i32);
    }
    let values = match width {
        Some(_) => Values::Fixed(data),
        None => Values::Variable(Variable { offsets, data }),
    };
    Column { validity: Some(validity), values }
}

pub(crate) fn get(column: &Column, width: Option<usize>, row: usize) -> Option<&[u8]> {
    if column.validity.as_ref().is_some_and(|validity| !bits::get(validity, row)) {
        return None;
    }
    match (&column.values, width) {
        (Values::Nulls, _) => None,
        (Values::Fixed(data), Some(width)) => Some(&data[row * width..][..width]),
        (Values::Variable(Variable { offsets, data }), None) => {
            Some(&data[offsets[row] as usize..offsets[row + 1] as usize])
        }
        _ => panic!("the host passed a state in another layout than its type's"),
    }
}
