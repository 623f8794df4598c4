use arrow_array::cast::AsArray;
use arrow_array::types::*;
use proptest::prelude::*;

use super::*;
use crate::dataplane::split::Rows;
use crate::model::schema::{DataType, Field};

const LIMITS: ReadLimits = ReadLimits { rows_max: usize::MAX, bytes_max: usize::MAX };

fn decode(schema: &Schema, text: &[u8]) -> Rows {
    let mut decoder = JsonDecoder::new(schema);
    let taken = decoder.decode(Input { bytes: text, offset: 0, is_last: true }, LIMITS);
    assert_eq!(taken, text.len());
    decoder.decoded().finish()
}

/// `a: i64, b: text?`
fn two() -> Schema {
    Schema::new([Field::new("a", DataType::I64), Field::nullable("b", DataType::Text)])
}

/// The reason why a line is refused, between two good ones that are not.
fn refusal(schema: &Schema, good: &str, bad: &str) -> String {
    let rows = decode(schema, format!("{good}\n{bad}\n{good}\n").as_bytes());
    assert_eq!((rows.records.num_rows(), rows.refused.len()), (2, 1), "{bad}");
    assert_eq!(rows.offsets.get(1), Some((good.len() + bad.len() + 2) as u64));
    let refused = rows.refused.into_iter().next().unwrap();
    assert_eq!((refused.event, refused.offset), (bad.as_bytes().to_vec(), good.len() as u64 + 1));
    refused.reason
}

#[test]
fn fields_are_found_by_name_in_any_order() {
    let text = br#"{"b":"x","a":1}
{"a":2,"c":[{"a":9}],"b":null}

{ "a" : 3 , "\u0062" : "\u00e9\n" }
  "#;
    let rows = decode(&two(), text);
    assert!(rows.refused.is_empty() && rows.selection.is_none());
    assert_eq!(rows.records.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    let b: Vec<_> = rows.records.column(1).as_string::<i32>().iter().collect();
    assert_eq!(b, [Some("x"), None, Some("é\n")]);
    assert_eq!((0..3).map(|row| rows.offsets.get(row).unwrap()).collect::<Vec<_>>(), [0, 16, 48]);
}

#[test]
fn bad_lines_are_refused_and_leave_their_neighbours_alone() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000));
    let cases = [
        ("{", "not whole JSON"),
        (r#"{"a":1"#, "not whole JSON"),
        (r#"{"a":1} x"#, "not JSON: trailing characters at byte 9"),
        (r#"{"a":1}{"a":2}"#, "trailing characters"),
        (r#"{"a":1,}"#, "not JSON: trailing comma"),
        (r#"{"a":01}"#, "column `a`: not JSON: invalid number"),
        (r#"{"a":1,"c":tru}"#, "not JSON"),
        (r#"{'a':1}"#, "not JSON: key must be a string"),
        ("[1]", "invalid type: sequence, expected an object"),
        ("null", "invalid type: null, expected an object"),
        ("7", "invalid type: integer `7`, expected an object"),
        ("{}", "column `a`: is missing"),
        (r#"{"b":"x"}"#, "column `a`: is missing"),
        (r#"{"a":null}"#, "column `a`: invalid type: null, expected a whole number from"),
        (r#"{"a":"1"}"#, r#"column `a`: invalid type: string "1", expected a whole number"#),
        (r#"{"a":1.0}"#, "column `a`: invalid type: floating point `1.0`"),
        (r#"{"a":9223372036854775808}"#, "column `a`: invalid value: integer `9223372036854775808`"),
        (r#"{"a":1,"b":5}"#, "column `b`: invalid type: integer `5`, expected text"),
        (r#"{"a":1,"b":"\ud800"}"#, "column `b`: not"),
        (r#"{"a":1,"b":"x","a":2}"#, "the field `a` stands twice"),
        (&long, "column `a`: invalid type: string \"xxxx"),
    ];
    for (bad, expected) in cases {
        let reason = refusal(&two(), r#"{"a":1,"b":"x"}"#, bad);
        assert!(reason.contains(expected), "{bad}: {reason}");
        assert!(reason.len() < 200, "{reason}");
    }
    let deep = format!(r#"{{"a":1,"c":{}"#, "[".repeat(100_000));
    assert!(refusal(&two(), r#"{"a":1}"#, &deep).contains("not whole JSON"));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let rows = decode(&two(), b"{\"a\":1}\n{\"a\":1,\"b\":\"\xff\"}\n{\"a\":2}");
    assert_eq!((rows.records.num_rows(), rows.refused.len()), (2, 1));
    assert_eq!(rows.refused[0].reason, "not UTF-8 at byte 12 of the line");
    assert_eq!(rows.refused[0].event, b"{\"a\":1,\"b\":\"\xff\"}");
}

fn one(data_type: DataType) -> Schema {
    Schema::new([Field::new("v", data_type)])
}

#[test]
fn values_must_fit_their_columns() {
    let decimal = DataType::Decimal { precision: 4, scale: 2 };
    let list = DataType::List(Box::new(Field::new("item", DataType::I8)));
    let inner = DataType::Struct(vec![Field::new("x", list.clone()), Field::nullable("y", DataType::Text)]);
    let cases = [
        (DataType::I8, "-128", "128", "a whole number from -128 to 127"),
        (DataType::U8, "255", "-1", "invalid value: integer `-1`, expected a whole number from 0 to 255"),
        (DataType::U64, "18446744073709551615", "18446744073709551616", "floating point"),
        (DataType::F32, "3.4e38", "3.5e38", "range"),
        (DataType::F64, "1", "1e400", "number out of range"),
        (DataType::F64, "1", "\"NaN\"", "a number in the range of f64"),
        (decimal.clone(), "12.34", "123.4", "123.4 has more than 4 digits, expected decimal(4, 2)"),
        (decimal.clone(), "\"12.34\"", "0.001", "digits behind the 2"),
        (decimal.clone(), "1e1", "\"x\"", "not a number"),
        (decimal, "-0.1", "true", "true not a number"),
        (DataType::Boolean, "true", "1", "expected a boolean"),
        (DataType::Bytes, "\"00ff\"", "\"0\"", "pairs of hexadecimal digits"),
        (DataType::FixedBytes(2), "\"00ff\"", "\"00\"", "expected 2 bytes as pairs"),
        (DataType::Timestamp, "\"2015-05-17T10:05:03Z\"", "\"2015-05-17\"", "a time as in RFC 3339"),
        (DataType::Timestamp, "\"2015-05-17T10:05:03Z\"", "17", "a time as in RFC 3339"),
        (DataType::Date, "\"2015-05-17\"", "\"17.5.2015\"", "a date such as 2015-05-17"),
        (DataType::Duration, "-5", "1.5", "whole number"),
        (list, "[1,2]", "[1,2,300]", "column `v[2]`: invalid value: integer `300`"),
        (inner.clone(), r#"{"x":[1]}"#, r#"{"x":[1,"2"]}"#, "column `v.x[1]`: invalid type: string"),
        (inner.clone(), r#"{"x":[],"y":"z"}"#, r#"{"y":"z"}"#, "column `v.x`: is missing"),
        (inner, r#"{"x":[],"z":1}"#, "[]", "column `v`: invalid type: sequence, expected an object"),
    ];
    for (data_type, good, bad, expected) in cases {
        let object = |value: &str| format!(r#"{{"v":{value}}}"#);
        let reason = refusal(&one(data_type), &object(good), &object(bad));
        assert!(reason.contains(expected) && reason.contains("column `v"), "{bad}: {reason}");
    }
}

#[test]
fn a_schema_without_columns_counts_events() {
    let rows = decode(&Schema::empty(), b"{\"a\":1}\n{}\nx\n");
    assert_eq!((rows.records.num_rows(), rows.refused.len()), (2, 1));
}

#[test]
fn limits_cut_between_events() {
    let text = b"{\"a\":1}\n{\"a\":2}\nx\n{\"a\":3}\n";
    let mut decoder = JsonDecoder::new(&two());
    let input = |at: usize| Input { bytes: &text[at..], offset: at as u64, is_last: false };
    assert_eq!(decoder.decode(input(0), ReadLimits { rows_max: 1, ..LIMITS }), 8);
    assert_eq!(decoder.decoded().finish().records.num_rows(), 1);
    assert_eq!(decoder.decode(input(8), ReadLimits { bytes_max: 9, ..LIMITS }), 10);
    assert_eq!((decoder.decoded().events(), decoder.decoded().len()), (2, 1));
    assert_eq!(decoder.decoded().finish().refused.len(), 1);
    assert_eq!(decoder.decode(input(18), LIMITS), 8);
    assert_eq!(decoder.decoded().finish().offsets.get(0), Some(18));
}

proptest! {
    /// Whatever stands between good lines, they survive.
    #[test]
    fn any_bytes_between_good_lines(noise in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop::sample::select(&b"{}[]\":,ab01.e-\\ \n\r"[..]), 0..40),
    ], 0..20)) {
        let schema = Schema::new([
            Field::new("a", DataType::I64),
            Field::nullable("l", DataType::List(Box::new(Field::nullable("item", DataType::Text)))),
        ]);
        let mut text = Vec::new();
        for (i, noise) in noise.iter().enumerate() {
            text.extend_from_slice(format!("{{\"a\":{},\"l\":[\"x\",null]}}\n", i as i64 + 1_000_000).as_bytes());
            text.extend_from_slice(noise);
            text.push(b'\n');
        }
        let rows = decode(&schema, &text);
        let found = rows.records.column(0).as_primitive::<Int64Type>().values();
        for i in 0..noise.len() {
            prop_assert!(found.contains(&(i as i64 + 1_000_000)));
        }
        let lines = text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        prop_assert_eq!(rows.records.num_rows() + rows.refused.len(), lines.filter(|line| !is_blank(line)).count());
    }
}
