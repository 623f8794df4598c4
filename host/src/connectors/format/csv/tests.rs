use arrow_array::cast::AsArray;
use arrow_array::types::*;
use proptest::prelude::*;

use super::*;
use crate::dataplane::split::Rows;
use crate::model::schema::{DataType, Field};

const LIMITS: ReadLimits = ReadLimits { rows_max: usize::MAX, bytes_max: usize::MAX };
const LINES: CsvFormat = CsvFormat { delimiter: b',', header: true, multiline: false };
const MULTILINE: CsvFormat = CsvFormat { delimiter: b',', header: false, multiline: true };

/// `n: i64, t: text?`
fn schema() -> Schema {
    Schema::new([Field::new("n", DataType::I64), Field::nullable("t", DataType::Text)])
}

fn decode(format: &CsvFormat, header: Option<&str>, text: &[u8]) -> Rows {
    let mut decoder = CsvDecoder::new(format, &schema(), header.map(str::as_bytes)).unwrap();
    decoder.decode(Input { bytes: text, offset: 0, is_last: true }, LIMITS);
    decoder.decoded().finish()
}

fn texts(rows: &Rows) -> Vec<Option<&str>> {
    rows.records.column(1).as_string::<i32>().iter().collect()
}

#[test]
fn columns_are_found_by_header_and_quotes_hold_delimiters() {
    let rows = decode(&LINES, Some("t,other,n"), b"a,x,1\r\n\"b,\"\"c\"\"\",,2\n\n,y,3\n\"\",y,4");
    assert!(rows.refused.is_empty(), "{:?}", rows.refused);
    assert_eq!(rows.records.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3, 4]);
    assert_eq!(texts(&rows), [Some("a"), Some("b,\"c\""), None, Some("")]);
    assert_eq!(rows.offsets.get(2), Some(21));
}

#[test]
fn bad_records_are_refused() {
    let bad: [(&[u8], &str); 8] = [
        (b"1", "1 fields instead of 2"),
        (b"1,a,b", "3 fields instead of 2"),
        (b"x,a", "column `n`: found `x`, expected i64"),
        (b",a", "column `n`: found nothing, expected i64"),
        (b"9223372036854775808,a", "column `n`: found `9223372036854775808`, expected i64"),
        (b"1,\"a", "set `multiline = true`"),
        (b"1,\"a\"\"", "set `multiline = true`"),
        (b"1,\xff", "column `t`: not UTF-8 at byte 0"),
    ];
    for (bad, expected) in bad {
        let text = [b"1,a\n", bad, b"\n2,b\n"].concat();
        let rows = decode(&CsvFormat { header: false, ..LINES }, None, &text);
        assert_eq!(texts(&rows), [Some("a"), Some("b")]);
        assert!(rows.refused[0].reason.contains(expected), "{}", rows.refused[0].reason);
        assert_eq!((&rows.refused[0].event[..], rows.refused[0].offset), (bad, 4));
    }
}

#[test]
fn quoted_fields_may_hold_lines() {
    let rows = decode(&MULTILINE, None, b"1,\"a\nb\r\nc\"\r\n\r\n2,d\n\n3,\"e\"\n4,f\r\n");
    assert!(rows.refused.is_empty(), "{:?}", rows.refused);
    assert_eq!(texts(&rows), [Some("a\nb\r\nc"), Some("d"), Some("e"), Some("f")]);
    let offsets: Vec<_> = (0..4).map(|row| rows.offsets.get(row).unwrap()).collect();
    assert_eq!(offsets, [0, 14, 19, 25]);
}

#[test]
fn a_record_that_is_not_whole_waits() {
    let mut decoder = CsvDecoder::new(&MULTILINE, &schema(), None).unwrap();
    let input = |text: &'static str| Input { bytes: text.as_bytes(), offset: 0, is_last: false };
    assert_eq!(decoder.decode(input("1,a\n2,\"b\n"), LIMITS), 4);
    assert_eq!(decoder.decode(input("2,\"b\n\"\n3"), LIMITS), 7);
    assert_eq!(texts(&decoder.decoded().finish()), [Some("a"), Some("b\n")]);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let error = |header: &str| CsvDecoder::new(&LINES, &schema(), Some(header.as_bytes())).err().unwrap();
    assert!(error("t,m").contains("no column `n`: it has t, m"), "{}", error("t,m"));
    assert!(error("n,n").contains("`n` twice"));
    assert!(error("\"n,t").contains("quote"));
    assert!(CsvDecoder::new(&LINES, &schema(), Some(b"n")).is_ok(), "a nullable column may be absent");
    let nested = Schema::new([Field::new("l", DataType::List(Box::new(Field::new("item", DataType::I8))))]);
    assert!(CsvDecoder::new(&LINES, &nested, None).err().unwrap().contains("no lists"));
}

proptest! {
    #[test]
    fn any_bytes_between_good_lines(noise in prop::collection::vec(
        prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\"\",,1\r\n"[..])], 0..20), 0..20,
    )) {
        let mut text = Vec::new();
        for (i, noise) in noise.iter().enumerate() {
            text.extend_from_slice(format!("{},good\n", i + 1_000_000).as_bytes());
            text.extend_from_slice(noise);
            text.push(b'\n');
        }
        let rows = decode(&CsvFormat { header: false, ..LINES }, None, &text);
        let found = rows.records.column(0).as_primitive::<Int64Type>().values();
        for i in 0..noise.len() {
            prop_assert!(found.contains(&(i as i64 + 1_000_000)));
        }
        // What a quote takes in here is nobody's fault; it must not panic.
        decode(&MULTILINE, None, &text);
    }
}
