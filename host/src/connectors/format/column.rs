//! Columns that are filled a value at a time. Unlike Arrow's builders they can be cut back, so that a row which turns
//! out bad half-way leaves nothing behind, and their vectors become Arrow's buffers without a copy.

use std::sync::Arc;

use arrow_array::types::*;
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray,
    StringArray, StructArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema as arrow;

use crate::model::schema::{DataType, Field};

/// A column that grows. Push a value, then call `commit` (or `push_null`, which does both).
pub struct Column {
    pub field: Field,
    pub values: Values,
    nulls: NullBufferBuilder,
}

/// What was pushed; after a failure it may hold more values than the column has rows, until `truncate`.
pub enum Values {
    Boolean(BooleanBufferBuilder),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Text(Runs),
    Bytes(Runs),
    FixedBytes { width: usize, data: Vec<u8> },
    Timestamp(Vec<i64>),
    Date(Vec<i32>),
    Duration(Vec<i64>),
    List { item: Box<Column>, arrow: arrow::FieldRef, offsets: Vec<i32> },
    Struct { fields: Vec<Column>, arrow: arrow::Fields },
}

/// Byte strings of any length: `offsets` has one more entry than there are values.
pub struct Runs {
    offsets: Vec<i32>,
    pub data: Vec<u8>,
}

impl Runs {
    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.end();
    }

    /// What was added to `data` since the last end is a value. Batches are cut long before 2 GiB.
    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets[rows] as usize);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        (OffsetBuffer::new(offsets.into()), std::mem::take(&mut self.data))
    }
}

/// Runs `$body` with `$values` as the vector of whatever number the column holds; the rest of the arms follow.
macro_rules! with_numbers {
    ($self:expr, $values:ident => $body:expr, $($rest:tt)*) => {
        match $self {
            Values::I8($values) => $body,
            Values::I16($values) => $body,
            Values::I32($values) | Values::Date($values) => $body,
            Values::I64($values) | Values::Timestamp($values) | Values::Duration($values) => $body,
            Values::U8($values) => $body,
            Values::U16($values) => $body,
            Values::U32($values) => $body,
            Values::U64($values) => $body,
            Values::F32($values) => $body,
            Values::F64($values) => $body,
            Values::Decimal { values: $values, .. } => $body,
            $($rest)*
        }
    };
}

impl Values {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0)),
            DataType::I8 => Self::I8(Vec::new()),
            DataType::I16 => Self::I16(Vec::new()),
            DataType::I32 => Self::I32(Vec::new()),
            DataType::I64 => Self::I64(Vec::new()),
            DataType::U8 => Self::U8(Vec::new()),
            DataType::U16 => Self::U16(Vec::new()),
            DataType::U32 => Self::U32(Vec::new()),
            DataType::U64 => Self::U64(Vec::new()),
            DataType::F32 => Self::F32(Vec::new()),
            DataType::F64 => Self::F64(Vec::new()),
            DataType::Decimal { precision, scale } => {
                Self::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Text => Self::Text(Runs::new()),
            DataType::Bytes => Self::Bytes(Runs::new()),
            DataType::FixedBytes(width) => Self::FixedBytes { width: *width as usize, data: Vec::new() },
            DataType::Timestamp => Self::Timestamp(Vec::new()),
            DataType::Date => Self::Date(Vec::new()),
            DataType::Duration => Self::Duration(Vec::new()),
            DataType::List(item) => {
                Self::List { item: Box::new(Column::new(item)), arrow: Arc::new(item.to_arrow()), offsets: vec![0] }
            }
            DataType::Struct(fields) => Self::Struct {
                fields: fields.iter().map(Column::new).collect(),
                arrow: fields.iter().map(Field::to_arrow).collect(),
            },
        }
    }

    /// A value that stands where there is none.
    fn push_blank(&mut self) {
        with_numbers!(self, values => values.push(Default::default()),
            Self::Boolean(bits) => bits.append(false),
            Self::Text(runs) | Self::Bytes(runs) => runs.end(),
            Self::FixedBytes { width, data } => data.resize(data.len() + *width, 0),
            Self::List { item, offsets, .. } => offsets.push(item.len() as i32),
            Self::Struct { fields, .. } => fields.iter_mut().for_each(Column::push_blank),
        )
    }

    fn truncate(&mut self, rows: usize) {
        with_numbers!(self, values => values.truncate(rows),
            Self::Boolean(bits) => bits.truncate(rows),
            Self::Text(runs) | Self::Bytes(runs) => runs.truncate(rows),
            Self::FixedBytes { width, data } => data.truncate(rows * *width),
            Self::List { item, offsets, .. } => {
                offsets.truncate(rows + 1);
                item.truncate(offsets[rows] as usize);
            }
            Self::Struct { fields, .. } => fields.iter_mut().for_each(|field| field.truncate(rows)),
        )
    }

    fn finish(&mut self, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        match self {
            Self::Boolean(bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Self::I8(values) => numbers::<Int8Type>(values, nulls),
            Self::I16(values) => numbers::<Int16Type>(values, nulls),
            Self::I32(values) => numbers::<Int32Type>(values, nulls),
            Self::I64(values) => numbers::<Int64Type>(values, nulls),
            Self::U8(values) => numbers::<UInt8Type>(values, nulls),
            Self::U16(values) => numbers::<UInt16Type>(values, nulls),
            Self::U32(values) => numbers::<UInt32Type>(values, nulls),
            Self::U64(values) => numbers::<UInt64Type>(values, nulls),
            Self::F32(values) => numbers::<Float32Type>(values, nulls),
            Self::F64(values) => numbers::<Float64Type>(values, nulls),
            Self::Date(values) => numbers::<Date32Type>(values, nulls),
            Self::Duration(values) => numbers::<DurationMicrosecondType>(values, nulls),
            Self::Timestamp(values) => Arc::new(
                primitive::<TimestampMicrosecondType>(values, nulls).with_data_type(DataType::Timestamp.to_arrow()),
            ),
            Self::Decimal { values, precision, scale } => Arc::new(
                primitive::<Decimal128Type>(values, nulls)
                    .with_data_type(arrow::DataType::Decimal128(*precision, *scale)),
            ),
            Self::Text(runs) => {
                let (offsets, data) = runs.take();
                Arc::new(StringArray::new(offsets, data.into(), nulls))
            }
            Self::Bytes(runs) => {
                let (offsets, data) = runs.take();
                Arc::new(BinaryArray::new(offsets, data.into(), nulls))
            }
            Self::FixedBytes { width, data } => {
                let data = std::mem::take(data).into();
                let array = FixedSizeBinaryArray::try_new_with_len(*width as i32, data, nulls, rows);
                Arc::new(array.expect("every row has its bytes"))
            }
            Self::List { item, arrow, offsets } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::new(Arc::clone(arrow), offsets, item.finish(), nulls))
            }
            Self::Struct { fields, arrow } => {
                let columns = fields.iter_mut().map(Column::finish).collect();
                Arc::new(StructArray::new(arrow.clone(), columns, nulls))
            }
        }
    }

    /// Makes room, so that filling a batch like the last one does not copy it several times.
    fn reserve(&mut self, room: &Room) {
        with_numbers!(self, values => values.reserve(room.rows),
            Self::Boolean(bits) => bits.reserve(room.rows),
            Self::Text(runs) | Self::Bytes(runs) => {
                runs.offsets.reserve(room.rows);
                runs.data.reserve(room.bytes);
            }
            Self::FixedBytes { width, data } => data.reserve(room.rows * *width),
            Self::List { .. } | Self::Struct { .. } => {}
        )
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(runs) | Self::Bytes(runs) => runs.data.len(),
            _ => 0,
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> PrimitiveArray<T> {
    PrimitiveArray::new(ScalarBuffer::from(std::mem::take(values)), nulls)
}

fn numbers<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(primitive::<T>(values, nulls))
}

/// How much a column held.
#[derive(Clone, Copy, Default)]
pub struct Room {
    rows: usize,
    bytes: usize,
}

impl Column {
    pub fn new(field: &Field) -> Self {
        Self { field: field.clone(), values: Values::new(&field.data_type), nulls: NullBufferBuilder::new(0) }
    }

    /// Rows that are complete.
    #[inline]
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// The value that was just pushed counts.
    #[inline]
    pub fn commit(&mut self) {
        self.nulls.append_non_null();
    }

    pub fn push_null(&mut self) {
        self.values.push_blank();
        self.nulls.append_null();
    }

    /// Null where that is allowed; otherwise a value that means nothing.
    fn push_blank(&mut self) {
        self.values.push_blank();
        self.nulls.append(!self.field.nullable);
    }

    /// Forgets what was pushed after the first `rows` rows, whole or not.
    pub fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    pub fn room(&self) -> Room {
        // An eighth more, so that a slightly longer batch does not double its memory.
        let bytes = self.values.bytes();
        Room { rows: self.len(), bytes: bytes + bytes / 8 }
    }

    pub fn reserve(&mut self, room: &Room) {
        self.values.reserve(room);
    }

    /// The rows as an array; the column is empty afterwards.
    pub fn finish(&mut self) -> ArrayRef {
        let rows = self.len();
        let nulls = self.nulls.finish();
        self.values.finish(rows, nulls)
    }
}
