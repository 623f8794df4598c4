//! What is written is what is read.

use arrow_array::RecordBatch;

use super::encode::RowEncoder;
use super::*;
use crate::model::schema::Field;
use crate::model::type_name::parse_field;
use crate::plan::connector::{CsvFormat, SinkFormat};

const FLAT: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("i8", &["-128", "127"]),
    ("i16", &["-32768", "32767"]),
    ("i32", &["-2147483648", "2147483647"]),
    ("i64", &["-9223372036854775808", "9223372036854775807"]),
    ("u8", &["0", "255"]),
    ("u16", &["0", "65535"]),
    ("u32", &["0", "4294967295"]),
    ("u64", &["0", "18446744073709551615"]),
    ("f32", &["0.1", "-3.4028235e38", "1e-45", "16777217"]),
    ("f64", &["0.1", "-1.7976931348623157e308", "5e-324", "9007199254740993", "122.416294033786585"]),
    ("decimal(5, 2)", &["123.45", "-0.01", "\"7\""]),
    ("decimal(38, 0)", &["99999999999999999999999999999999999999"]),
    ("text", &["\"x\"", "\"a,\\\"b\\\"\\n\\u0001é🦀\\\\\""]),
    ("bytes", &["\"00ff10\""]),
    ("bytes(2)", &["\"00ff\""]),
    ("timestamp", &["\"2015-05-17T10:05:03.000001Z\"", "\"1900-01-01T00:00:00Z\"", "\"2024-02-29T23:59:59.5Z\""]),
    ("date", &["\"2015-05-17\"", "\"0001-01-01\"", "\"9999-12-31\""]),
    ("duration", &["-1500000", "0", "9223372036854775807"]),
];

const NESTED: &[(&str, &[&str])] = &[
    ("text", &["\"\""]),
    ("list<i64?>", &["[]", "[1,null,3]"]),
    ("list<duration>", &["[5]"]),
    (
        "struct<a: i64, b: text?, c: list<struct<d: date>>>",
        &[r#"{"a":1,"b":"x","c":[{"d":"2015-05-17"},{"d":"2015-05-18"}]}"#, r#"{"a":2,"c":[]}"#],
    ),
];

fn read(format: &Format, field: &Field, header: Option<&[u8]>, text: &[u8]) -> RecordBatch {
    let mut decoder = decoder(format, &Schema::new([Field::new("n", DataType::I64), field.clone()]), header).unwrap();
    let limits = ReadLimits { rows_max: usize::MAX, bytes_max: usize::MAX };
    assert_eq!(decoder.decode(Input { bytes: text, offset: 0, is_last: true }, limits), text.len());
    let rows = decoder.decoded().finish();
    assert!(rows.refused.is_empty(), "{field}: {:?}", rows.refused);
    rows.records
}

fn write(format: SinkFormat, field: &Field, records: &RecordBatch) -> Vec<u8> {
    let schema = Schema::new([Field::new("n", DataType::I64), field.clone()]);
    let mut out = Vec::new();
    RowEncoder::new(format, &schema).unwrap().encode_records(records, &mut out).unwrap();
    out
}

/// The values of a case as rows, with a null when that is allowed.
fn rows(field: &Field, values: &[&str]) -> RecordBatch {
    let null = if field.nullable { "{\"n\":0}\n" } else { "" };
    let lines: String = values.iter().map(|value| format!("{{\"n\":1,\"v\":{value}}}\n{null}")).collect();
    read(&Format::Json, field, None, lines.as_bytes())
}

fn fields(cases: &'static [(&str, &[&str])]) -> impl Iterator<Item = (Field, &'static [&'static str])> {
    cases.iter().flat_map(|(name, values)| {
        let nullable = parse_field("v", &format!("{name}?")).unwrap();
        [(parse_field("v", name).unwrap(), *values), (nullable, *values)]
    })
}

#[test]
fn json() {
    for (field, values) in fields(FLAT).chain(fields(NESTED)) {
        let records = rows(&field, values);
        let written = write(SinkFormat::Json, &field, &records);
        assert_eq!(read(&Format::Json, &field, None, &written), records, "{}", String::from_utf8_lossy(&written));
    }
}

#[test]
fn csv() {
    let format = Format::Csv(CsvFormat { delimiter: b',', header: true, multiline: true });
    for (field, values) in fields(FLAT) {
        let records = rows(&field, values);
        let written = write(SinkFormat::Csv, &field, &records);
        let again = read(&format, &field, Some(b"n,v"), &written);
        assert_eq!(again, records, "{}", String::from_utf8_lossy(&written));
    }
}

#[test]
fn the_forms_are_pinned() {
    let written = |name: &str, value: &str| {
        let field = parse_field("v", name).unwrap();
        String::from_utf8(write(SinkFormat::Json, &field, &rows(&field, &[value]))).unwrap()
    };
    assert_eq!(
        written("timestamp", "\"2015-05-17T12:05:03.25+02:00\""),
        "{\"n\":1,\"v\":\"2015-05-17T10:05:03.250Z\"}\n"
    );
    assert_eq!(written("duration", "1500000"), "{\"n\":1,\"v\":1500000}\n");
    assert_eq!(written("bytes", "\"0aFF\""), "{\"n\":1,\"v\":\"0aff\"}\n");
    assert_eq!(written("decimal(5, 2)", "1.5"), "{\"n\":1,\"v\":1.50}\n");
    assert_eq!(written("text?", "null"), "{\"n\":1}\n{\"n\":0}\n");
}
