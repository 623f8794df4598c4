use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::dataplane::split::SplitState;

const FORMAT: Format = Format::Parquet;

/// A file of row groups of so many rows.
fn write(path: &Path, columns: Vec<(&str, ArrayRef, bool)>, group_rows: usize) {
    let records = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, records.schema(), Some(properties)).unwrap();
    writer.write(&records).unwrap();
    writer.close().unwrap();
}

fn numbers(path: &Path, n: i64, group_rows: usize) {
    let others: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("other {i}"))));
    write(path, vec![("x", others, false), ("n", Arc::new(Int64Array::from_iter_values(0..n)), false)], group_rows);
}

fn splits(path: &Path, schema: &Schema) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
    open(&source(path, FORMAT, 1), schema, Slot(0), Parallelism::ONE)?.discover()
}

fn fault_of(path: &Path, field: Field) -> String {
    splits(path, &Schema::new([field])).err().expect("it is refused").message
}

#[test]
fn row_groups_are_splits_which_slots_share() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    numbers(&path, 2_500, 1_000);
    assert_eq!(count_splits(&source(&path, FORMAT, 1)), Ok(3));
    for slots in 1..4 {
        for bytes_max in [1, 100, 1 << 20] {
            let limits = ReadLimits { rows_max: 300, bytes_max };
            let mut read: Vec<i64> = read_all(&source(&path, FORMAT, 1), slots, limits)
                .into_iter()
                .map(|(_, event)| event.unwrap())
                .collect();
            read.sort_unstable();
            assert!(read.into_iter().eq(0..2_500));
        }
    }
}

#[test]
fn reading_goes_on_where_a_checkpoint_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    numbers(&path, 1_000, 600);
    let source = source(&path, FORMAT, 1);
    let mut found = splits(&path, &schema()).unwrap();
    assert_eq!(found[1].name().to_string(), format!("{}#1", path.display()));
    let mut events = Vec::new();
    let limits = ReadLimits { rows_max: 250, bytes_max: 1 << 20 };
    assert!(collect(found[0].read(limits).unwrap(), &mut events));
    let states: Vec<SplitState> =
        found.iter().map(|split| SplitState { name: split.name().clone(), position: Some(split.position()) }).collect();
    let mut restored = open(&source, &schema(), Slot(0), Parallelism::ONE).unwrap();
    for mut split in restored.restore(&states).unwrap() {
        assert!(split.peek().unwrap().is_some());
        while collect(split.read(limits).unwrap(), &mut events) {}
    }
    assert!(restored.discover().unwrap().is_empty());
    assert!(events.into_iter().map(|(_, n)| n.unwrap()).eq(0..1_000));

    numbers(&path, 100, 600);
    let fault = open(&source, &schema(), Slot(0), Parallelism::ONE).unwrap().restore(&states).err().unwrap();
    assert!(fault.message.contains("not the same file"), "{fault}");
}

#[test]
fn columns_that_do_not_fit_are_named_with_both_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    numbers(&path, 10, 10);
    let fault = fault_of(&path, Field::new("n", DataType::I32));
    assert!(fault.contains("column `n` of `") && fault.contains("a.parquet") && fault.contains("Int64"), "{fault}");
    assert!(fault.contains("i32"), "{fault}");
    let fault = fault_of(&path, Field::new("missing", DataType::I64));
    assert!(fault.contains("a.parquet` has no column `missing`: it has x, n"), "{fault}");
    fs::write(&path, "no parquet, but long enough").unwrap();
    let fault = fault_of(&path, Field::new("n", DataType::I64));
    assert!(fault.contains("a.parquet` as Parquet"), "{fault}");
}

#[test]
fn values_are_widened_and_absent_columns_are_null() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let words: DictionaryArray<arrow_array::types::Int32Type> = ["a", "b"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("time", Arc::new(TimestampNanosecondArray::from(vec![1_001, 2_000])), false),
        ("n", Arc::new(Int32Array::from(vec![1, 2])), false),
        ("word", Arc::new(words), false),
    ];
    write(&path, columns, 10);
    let schema = Schema::new([
        Field::new("n", DataType::I64),
        Field::nullable("absent", DataType::Text),
        Field::new("word", DataType::Text),
        Field::new("time", DataType::Timestamp),
    ]);
    let Read::Rows(rows) = splits(&path, &schema).unwrap()[0].read(ALL).unwrap() else { panic!("there are rows") };
    assert_eq!(rows.records.schema_ref(), schema.arrow());
    assert_eq!(rows.records.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    assert_eq!(rows.records.column(1).null_count(), 2);
    assert_eq!(rows.records.column(2).as_string::<i32>().value(1), "b");
    let times = rows.records.column(3).as_primitive::<arrow_array::types::TimestampMicrosecondType>();
    assert_eq!(times.values(), &[1, 2]);
}

#[test]
fn a_null_where_there_may_be_none_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let column: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), None, Some(3)]));
    write(&path, vec![("n", column, true)], 10);
    let mut split = splits(&path, &schema()).unwrap().remove(0);
    let first = split.peek().unwrap().unwrap();
    assert_eq!((first.records.num_rows(), first.offsets.get(0)), (1, Some(1)));
    let mut events = Vec::new();
    assert!(collect(split.read(ALL).unwrap(), &mut events));
    let refused = |offset| Refused { offset, reason: "column `n` is null".to_owned(), event: b"{}".to_vec() };
    assert_eq!(events, [(1, Ok(1)), (3, Ok(3)), (0, Err(refused(0))), (2, Err(refused(2)))]);
}
