//! Schemas: named, typed, nullable columns. The set of types is ours and closed; Arrow carries them.

use std::fmt;
use std::sync::Arc;

use arrow_schema as arrow;

/// The type of a column or of a state's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    Boolean,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    /// 128 bits, `precision` digits of which `scale` stand after the point.
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    Bytes,
    /// Of so many bytes.
    FixedBytes(u32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds.
    Duration,
    List(Box<Field>),
    Struct(Vec<Field>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
}

/// The columns of a stream. Names are unique; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Schema {
    fields: Arc<[Field]>,
    arrow: arrow::SchemaRef,
}

/// The time zone of every timestamp column.
const UTC: &str = "+00:00";

impl Field {
    pub fn new(name: &str, data_type: DataType) -> Self {
        Self { name: name.to_owned(), data_type, nullable: false }
    }

    pub fn nullable(name: &str, data_type: DataType) -> Self {
        Self { name: name.to_owned(), data_type, nullable: true }
    }

    pub fn to_arrow(&self) -> arrow::Field {
        arrow::Field::new(&self.name, self.data_type.to_arrow(), self.nullable)
    }
}

impl DataType {
    pub fn to_arrow(&self) -> arrow::DataType {
        use arrow::DataType as A;
        match self {
            Self::Boolean => A::Boolean,
            Self::I8 => A::Int8,
            Self::I16 => A::Int16,
            Self::I32 => A::Int32,
            Self::I64 => A::Int64,
            Self::U8 => A::UInt8,
            Self::U16 => A::UInt16,
            Self::U32 => A::UInt32,
            Self::U64 => A::UInt64,
            Self::F32 => A::Float32,
            Self::F64 => A::Float64,
            Self::Decimal { precision, scale } => A::Decimal128(*precision, *scale),
            Self::Text => A::Utf8,
            Self::Bytes => A::Binary,
            Self::FixedBytes(width) => A::FixedSizeBinary(*width as i32),
            Self::Timestamp => A::Timestamp(arrow::TimeUnit::Microsecond, Some(UTC.into())),
            Self::Date => A::Date32,
            Self::Duration => A::Duration(arrow::TimeUnit::Microsecond),
            Self::List(item) => A::List(Arc::new(item.to_arrow())),
            Self::Struct(fields) => A::Struct(fields.iter().map(Field::to_arrow).collect()),
        }
    }

    /// The bytes of every value, when they are the same for all of them: see `wit/values.md`.
    pub fn fixed_width(&self) -> Option<usize> {
        match self {
            Self::Boolean | Self::I8 | Self::U8 => Some(1),
            Self::I16 | Self::U16 => Some(2),
            Self::I32 | Self::U32 | Self::F32 | Self::Date => Some(4),
            Self::I64 | Self::U64 | Self::F64 | Self::Timestamp | Self::Duration => Some(8),
            Self::Decimal { .. } => Some(16),
            Self::FixedBytes(width) => Some(*width as usize),
            Self::Text | Self::Bytes | Self::List(_) => None,
            Self::Struct(fields) => {
                fields.iter().map(|field| if field.nullable { None } else { field.data_type.fixed_width() }).sum()
            }
        }
    }

    /// Whether values of this type can be (part of) a key.
    pub fn is_key(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Struct(_))
    }

    pub fn is_integer(&self) -> bool {
        use DataType::*;
        matches!(self, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
    }

    pub fn is_float(&self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

impl Schema {
    /// Names must be unique: the callers that take names from people check it and say where.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        let fields: Arc<[Field]> = fields.into_iter().collect();
        let arrow = Arc::new(arrow::Schema::new(fields.iter().map(Field::to_arrow).collect::<Vec<_>>()));
        Self { fields, arrow }
    }

    pub fn empty() -> Self {
        Self::new([])
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub fn arrow(&self) -> &arrow::SchemaRef {
        &self.arrow
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of the columns, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        names.join(", ")
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_has_a_fixed_width_only_without_optional_or_variable_fields() {
        let tally = |fields| DataType::Struct(fields);
        assert_eq!(
            tally(vec![Field::new("n", DataType::U64), Field::new("d", DataType::Date)]).fixed_width(),
            Some(12)
        );
        assert_eq!(tally(vec![Field::nullable("n", DataType::U64)]).fixed_width(), None);
        assert_eq!(tally(vec![Field::new("s", DataType::Text)]).fixed_width(), None);
    }
}
