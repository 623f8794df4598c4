use arbitrary::{Arbitrary, Result, Unstructured};
use arrow_array::Array as _;
use wasmill::dataplane::output_budget::OutputBudget;
use wasmill::model::schema::Schema;
use wasmill::sandbox::answers::{
    ColumnResult, DataType, DecimalType, DictionaryResult, FieldResult, IntegerType, SchemaResult, ValuesResult,
    VariableResult,
};
use wasmill::sandbox::{describe, lift};

use super::field;
use crate::Target;

/// What a guest may answer to a call: columns, encoded values, schemas. It is refused, or sound.
pub const ANSWER: Target =
    Target { name: "answer", run, seeds: Vec::new, tokens: &["\0", "\u{1}", "\u{7f}"], cases: 50_000 };

const TYPES: [&str; 18] = [
    "bool",
    "i8",
    "i64",
    "u32",
    "f64",
    "decimal(10, 2)",
    "text",
    "bytes",
    "bytes(3)",
    "bytes(65536)",
    "list<bytes(65536)?>?",
    "timestamp",
    "date",
    "list<text>",
    "list<i64?>?",
    "struct<a: i64, b: text?>",
    "list<struct<a: list<bytes>, b: i8>>?",
    "struct<a: struct<b: decimal(38, 0)?>>",
];

const ROWS_MAX: usize = 20;

/// Of what nulls and dictionaries may become.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

fn run(bytes: &[u8]) {
    // Bytes that say no answer are of no interest.
    let _ = check(&mut Unstructured::new(bytes));
}

fn check(guest: &mut Unstructured<'_>) -> Result<()> {
    let rows = guest.int_in_range(0..=ROWS_MAX)?;
    match guest.int_in_range(0..=2)? {
        0 => check_columns(guest, rows),
        1 => check_values(guest, rows),
        _ => check_schema(guest),
    }
}

fn check_columns(guest: &mut Unstructured<'_>, rows: usize) -> Result<()> {
    let fields = guest.arbitrary_iter::<u8>()?.take(3).collect::<Result<Vec<_>>>()?;
    let schema = Schema::new(fields.iter().map(|number| field("c", TYPES[usize::from(*number) % TYPES.len()])));
    let columns = list(guest, |guest| column(guest, rows))?;
    let mut budget = OutputBudget::new(OUTPUT_BYTES_MAX);
    let Ok(lifted) = lift::columns(columns, &schema, rows, &mut budget) else { return Ok(()) };
    assert_eq!(lifted.len(), schema.fields().len());
    for (array, field) in lifted.iter().zip(schema.fields()) {
        assert_eq!((array.len(), array.data_type()), (rows, &field.data_type.to_arrow()));
        assert!(field.nullable || array.null_count() == 0);
        array.to_data().validate_full().expect("it was lifted");
        assert!(array.get_array_memory_size() < 3 * OUTPUT_BYTES_MAX);
    }
    Ok(())
}

fn check_values(guest: &mut Unstructured<'_>, rows: usize) -> Result<()> {
    let width = Option::<u8>::arbitrary(guest)?.map(|width| usize::from(width % 16) + 1);
    let mut budget = OutputBudget::new(OUTPUT_BYTES_MAX);
    let Ok(values) = lift::values(column(guest, rows)?, width, rows, &mut budget) else { return Ok(()) };
    assert_eq!(values.len(), rows);
    for value in (0..rows).filter_map(|row| values.get(row)) {
        assert!(width.is_none_or(|width| value.len() == width));
    }
    Ok(())
}

fn check_schema(guest: &mut Unstructured<'_>) -> Result<()> {
    let fields = list(guest, |guest| {
        Ok(FieldResult {
            name: String::arbitrary(guest)?,
            data_type: data_type(guest)?,
            nullable: bool::arbitrary(guest)?,
        })
    })?;
    if let Ok(schema) = describe::lift_schema(SchemaResult { fields }) {
        assert!(schema.fields().iter().all(|field| schema.field(&field.name) == Some(field)));
        assert_eq!(schema.arrow().fields().len(), schema.fields().len());
    }
    Ok(())
}

fn data_type(guest: &mut Unstructured<'_>) -> Result<DataType> {
    Ok(match guest.int_in_range(0..=7)? {
        0 => DataType::Integer(IntegerType::S64),
        1 => DataType::Text,
        2 => DataType::FixedBytes(u32::arbitrary(guest)?),
        3 => DataType::Decimal(DecimalType { precision: u8::arbitrary(guest)?, scale: i8::arbitrary(guest)? }),
        4 | 5 => DataType::Sequence,
        6 => DataType::Structure(guest.int_in_range(0..=3)?),
        _ => DataType::Structure(u32::arbitrary(guest)?),
    })
}

fn list<T>(guest: &mut Unstructured<'_>, mut item: impl FnMut(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let length = guest.int_in_range(0..=8)?;
    (0..length).map(|_| item(guest)).collect()
}

/// Mostly as long as it should be, so that it gets past the first check.
fn length(guest: &mut Unstructured<'_>, right: usize) -> Result<usize> {
    if guest.ratio(7, 8)? { Ok(right) } else { guest.int_in_range(0..=2 * ROWS_MAX) }
}

fn column(guest: &mut Unstructured<'_>, rows: usize) -> Result<ColumnResult> {
    let validity = if bool::arbitrary(guest)? { Some(numbers(guest, rows.div_ceil(8))?) } else { None };
    Ok(ColumnResult { validity, values: values(guest, rows)? })
}

fn numbers<'a, T: Arbitrary<'a>>(guest: &mut Unstructured<'a>, right: usize) -> Result<Vec<T>> {
    (0..length(guest, right)?).map(|_| T::arbitrary(guest)).collect()
}

fn values(guest: &mut Unstructured<'_>, rows: usize) -> Result<ValuesResult> {
    Ok(match guest.int_in_range(0..=15)? {
        0 => ValuesResult::Nulls,
        1 => ValuesResult::Booleans(numbers(guest, rows.div_ceil(8))?),
        2 => ValuesResult::S8s(numbers(guest, rows)?),
        3 => ValuesResult::S32s(numbers(guest, rows)?),
        4 | 5 => ValuesResult::S64s(numbers(guest, rows)?),
        6 => ValuesResult::U32s(numbers(guest, rows)?),
        7 => ValuesResult::F64s(numbers(guest, rows)?),
        8 => {
            let width = guest.choose(&[3, 8, 16])?;
            ValuesResult::Fixed(numbers(guest, rows * width)?)
        }
        9..=11 => {
            let (offsets, last) = offsets(guest, rows)?;
            ValuesResult::Variable(VariableResult { offsets, data: numbers(guest, last)? })
        }
        12 | 13 => ValuesResult::Sequences(offsets(guest, rows)?.0),
        14 => ValuesResult::Structures,
        _ => {
            let size = if guest.ratio(7, 8)? { guest.int_in_range(0..=4)? } else { u32::arbitrary(guest)? };
            let indices = (0..length(guest, rows)?).map(|_| guest.int_in_range(0..=4)).collect::<Result<_>>()?;
            ValuesResult::Dictionary(DictionaryResult { indices, size })
        }
    })
}

/// Mostly rising, and the last of them.
fn offsets(guest: &mut Unstructured<'_>, rows: usize) -> Result<(Vec<i32>, usize)> {
    let mut offsets = vec![if guest.ratio(15, 16)? { 0 } else { i32::arbitrary(guest)? }];
    for _ in 0..length(guest, rows)? {
        let last = offsets.last().copied().unwrap_or(0);
        let next =
            if guest.ratio(31, 32)? { last.saturating_add(guest.int_in_range(0..=3)?) } else { i32::arbitrary(guest)? };
        offsets.push(next);
    }
    let last = offsets.last().copied().unwrap_or(0);
    Ok((offsets, usize::try_from(last.clamp(0, 100)).unwrap_or(0)))
}
