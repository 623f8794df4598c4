//! Schemas, as the contract writes them: depth first, the fields of a nested type after it.

use crate::bindings::wasmill::operator::schemas;
pub use crate::bindings::wasmill::operator::schemas::{DataType, Field, IntegerType};
use crate::error::Error;
use std::fmt::Write;

/// The columns of an input: what a generic operator looks at when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    fields: Vec<Field>,
}

/// One column of a [`Schema`], with the fields that are nested in it.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSchema<'s> {
    /// the column's number among its schema's columns
    pub number: u32,
    fields: &'s [Field],
}

impl Schema {
    pub(crate) fn from_wire(schema: schemas::Schema) -> Self {
        Self {
            fields: schema.fields,
        }
    }

    pub(crate) fn to_wire(&self) -> schemas::Schema {
        schemas::Schema {
            fields: self.fields.clone(),
        }
    }

    #[doc(hidden)]
    pub fn push(&mut self, name: &str, data_type: DataType, nullable: bool) {
        self.fields.push(Field {
            name: name.to_owned(),
            data_type,
            nullable,
        });
    }

    /// The columns of a record.
    pub fn of<R: crate::RecordShape>() -> Self {
        let mut schema = Self::default();
        <R::Of<'static> as crate::Record>::describe_fields(&mut schema);
        schema
    }

    /// The columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = ColumnSchema<'_>> {
        let mut rest = self.fields.as_slice();
        (0..).map_while(move |number| {
            let (fields, after) = rest.split_at(tree(rest)?);
            rest = after;
            Some(ColumnSchema { number, fields })
        })
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<ColumnSchema<'_>> {
        self.columns().find(|column| column.name() == name)
    }

    /// The column that can be read as `need`, or why there is none.
    pub(crate) fn find(&self, need: ColumnSchema<'_>) -> Result<ColumnSchema<'_>, Error> {
        let Some(column) = self.column(need.name()) else {
            let names: Vec<_> = self
                .columns()
                .map(|column| column.name().to_owned())
                .collect();
            return Err(
                format!("no column `{}`, only `{}`", need.name(), names.join("`, `")).into(),
            );
        };
        if column.shape() != need.shape() {
            let (has, needs) = (column.describe(), need.describe());
            return Err(format!(
                "column `{}` is {has}, but the operator reads {needs}",
                need.name()
            )
            .into());
        }
        Ok(column)
    }
}

impl<'s> ColumnSchema<'s> {
    /// The column's name.
    pub fn name(&self) -> &'s str {
        &self.fields[0].name
    }

    /// The column's type; what is nested in it follows in [`nested`](Self::nested).
    pub fn data_type(&self) -> DataType {
        self.fields[0].data_type
    }

    /// Whether rows may have no value in it.
    pub fn nullable(&self) -> bool {
        self.fields[0].nullable
    }

    /// The fields nested in it, depth first.
    pub fn nested(&self) -> &'s [Field] {
        &self.fields[1..]
    }

    /// How many columns it takes at the boundary.
    pub(crate) fn width(&self) -> usize {
        self.fields.len()
    }

    /// What must be equal for one to be read as the other: types, names of nested fields (but not of the elements of
    /// sequences), not nullability.
    fn shape(&self) -> String {
        let mut shape = String::new();
        let mut element = true;
        for field in self.fields {
            let _ = write!(
                shape,
                "{} {:?};",
                if element { "" } else { &field.name },
                field.data_type
            );
            element = matches!(field.data_type, DataType::Sequence);
        }
        shape
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        describe(self.fields, &mut text);
        text
    }
}

/// How many fields the first one takes with all that is nested in it.
fn tree(fields: &[Field]) -> Option<usize> {
    let children = match fields.first()?.data_type {
        DataType::Sequence => 1,
        DataType::Structure(fields) => fields,
        _ => 0,
    };
    let mut width = 1;
    for _ in 0..children {
        width += tree(&fields[width..])?;
    }
    Some(width)
}

/// A type for people: `[{ path: text, hits: s64 }]`.
fn describe(fields: &[Field], text: &mut String) -> usize {
    let mut width = 1;
    match fields[0].data_type {
        DataType::Sequence => {
            text.push('[');
            width += describe(&fields[1..], text);
            text.push(']');
        }
        DataType::Structure(count) => {
            text.push_str("{ ");
            for child in 0..count {
                let _ = write!(
                    text,
                    "{}{}: ",
                    if child == 0 { "" } else { ", " },
                    fields[width].name
                );
                width += describe(&fields[width..], text);
            }
            text.push_str(" }");
        }
        DataType::Integer(integer) => text.push_str(match integer {
            IntegerType::S8 => "s8",
            IntegerType::S16 => "s16",
            IntegerType::S32 => "s32",
            IntegerType::S64 => "s64",
            IntegerType::U8 => "u8",
            IntegerType::U16 => "u16",
            IntegerType::U32 => "u32",
            IntegerType::U64 => "u64",
        }),
        DataType::Decimal(decimal) => {
            let _ = write!(text, "decimal({}, {})", decimal.precision, decimal.scale);
        }
        DataType::FixedBytes(bytes) => {
            let _ = write!(text, "{bytes} bytes");
        }
        other => {
            let _ = write!(
                text,
                "{}",
                format!("{other:?}")
                    .trim_start_matches("DataType::")
                    .to_lowercase()
            );
        }
    }
    width
}
