//! Records go into columns and come back.

use crate::bindings::wasmill::operator::columns::{Column, Dictionary, Values};
use crate::prelude::*;
use crate::process::Input;
use crate::record::{Builder, Record as _};
use crate::{DataType, Schema};

#[derive(Record, Clone, Debug, Default, PartialEq)]
struct Inner {
    name: String,
    score: Option<f64>,
}

#[derive(Record, Clone, Debug, Default, PartialEq)]
struct Everything {
    flag: bool,
    small: i8,
    big: u64,
    text: String,
    bytes: Vec<u8>,
    id: [u8; 3],
    at: Timestamp,
    day: Date,
    price: Decimal<10, 2>,
    maybe: Option<String>,
    maybe_flag: Option<bool>,
    list: Vec<i32>,
    texts: Vec<Option<String>>,
    inner: Inner,
    maybe_inner: Option<Inner>,
    inners: Vec<Inner>,
    maybe_list: Option<Vec<Vec<u8>>>,
    #[record(rename = "type")]
    kind: u16,
}

fn everything(n: usize) -> Everything {
    let inner = |n: usize| Inner {
        name: "x".repeat(n),
        score: n.is_multiple_of(2).then_some(n as f64),
    };
    Everything {
        flag: n.is_multiple_of(3),
        small: -(n as i8),
        big: u64::MAX - n as u64,
        text: "é".repeat(n * 5),
        bytes: vec![n as u8; n],
        id: [n as u8; 3],
        at: Timestamp(n as i64),
        day: Date(n as i32),
        price: Decimal(-(n as i128)),
        maybe: (n % 2 == 1).then(|| "y".repeat(n)),
        maybe_flag: [None, Some(true), Some(false)][n % 3],
        list: (0..n as i32).collect(),
        texts: (0..n)
            .map(|n| (n % 2 == 0).then(|| n.to_string()))
            .collect(),
        inner: inner(n),
        maybe_inner: (!n.is_multiple_of(4)).then(|| inner(n)),
        inners: (0..n % 3).map(inner).collect(),
        maybe_list: (!n.is_multiple_of(5)).then(|| (0..n).map(|n| vec![1; n]).collect()),
        kind: 7,
    }
}

#[derive(Default)]
struct Columns(<Everything as crate::Record<'static>>::Builder);

impl Columns {
    fn finish(&mut self) -> Vec<Column> {
        let mut columns = Vec::new();
        self.0.finish(&mut columns);
        columns
    }
}

fn read(columns: &[Column], rows: usize) -> Vec<Everything> {
    let reader = <Everything as Input>::reader(columns);
    (0..rows)
        .map(|row| Everything::read(&reader, row))
        .collect()
}

#[test]
fn every_type_comes_back_also_after_rows_were_undone() {
    let mut columns = Columns::default();
    for _ in 0..2 {
        columns.0.reserve(20);
        (0..20).for_each(|n| everything(n).write_record(&mut columns.0));
        columns.0.truncate(11);
        (11..40).for_each(|n| everything(n).write_record(&mut columns.0));
        let finished = columns.finish();
        assert_eq!(
            finished.len(),
            Schema::of::<Everything>().to_wire().fields.len()
        );
        assert_eq!(
            read(&finished, 40),
            (0..40).map(everything).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_record_without_rows_has_all_its_columns() {
    let mut columns = Columns::default();
    columns.0.reserve(0);
    assert_eq!(
        columns.finish().len(),
        Schema::of::<Everything>().to_wire().fields.len()
    );
}

#[test]
fn schemas_are_depth_first() {
    let fields = Schema::of::<Everything>().to_wire().fields;
    let names: Vec<_> = fields.iter().map(|field| &*field.name).collect();
    assert_eq!(
        names[11..17],
        ["list", "item", "texts", "item", "inner", "name"]
    );
    assert!(fields[14].nullable && !fields[15].nullable && fields[9].nullable);
    assert_eq!(fields[4].data_type, DataType::Bytes);
    assert_eq!(Schema::of::<Everything>().columns().count(), 18);
    assert!(Schema::of::<Everything>().column("type").is_some());
}

#[derive(Record, Debug, PartialEq)]
struct Word<'a> {
    word: &'a str,
    maybe: Option<&'a str>,
}

#[test]
fn dictionaries_and_nulls_are_read() {
    let dictionary = |validity: Option<Vec<u8>>, inner: Option<Vec<u8>>| {
        let mut builder = crate::record::BytesBuilder::default();
        builder.reserve(2);
        builder.push(b"one");
        builder.push(b"two");
        let values = Values::Dictionary(Dictionary {
            indices: vec![1, 0, 1],
            size: 2,
        });
        let mut columns = vec![Column { validity, values }];
        builder.finish(&mut columns);
        columns[1].validity = inner;
        columns
    };
    let mut columns = dictionary(None, None);
    columns.extend(dictionary(Some(vec![0b110]), Some(vec![0b10])));
    let reader = <Word<'_> as Input>::reader(&columns);
    let words: Vec<_> = (0..3).map(|row| Word::read(&reader, row)).collect();
    let word = |word, maybe| Word { word, maybe };
    assert_eq!(
        words,
        [
            word("two", None),
            word("one", None),
            word("two", Some("two"))
        ]
    );

    columns.truncate(2);
    columns.push(Column {
        validity: None,
        values: Values::Nulls,
    });
    let reader = <Word<'_> as Input>::reader(&columns);
    assert_eq!(Word::read(&reader, 1), word("one", None));
}
