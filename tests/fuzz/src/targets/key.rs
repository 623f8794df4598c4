use arrow_array::ArrayRef;
use wasmill::model::key::{Keys, skip, try_decode};
use wasmill::model::schema::Field;

use super::field;
use crate::Target;

/// Encoded keys, as of a checkpoint: `columns types.. key`, where types are numbers below. What is decoded has an
/// encoding, and that is decoded to the same; what can be skipped can be decoded.
pub const KEY: Target =
    Target { name: "key", run, seeds, tokens: &["\0", "\u{1}", "\u{1}\0", "\u{1}a\0", "\0\u{7f}"], cases: 50_000 };

const TYPES: [&str; 19] = [
    "bool",
    "i8",
    "i16",
    "i32",
    "i64",
    "u8",
    "u16",
    "u32",
    "u64",
    "f32",
    "f64",
    "decimal(10, 2)",
    "text",
    "bytes",
    "bytes(3)",
    "timestamp",
    "date",
    "duration",
    "list<i64>",
];

fn seeds() -> Vec<Vec<u8>> {
    let one = |number: u8, key: &[u8]| [&[0, number], key].concat();
    vec![
        one(4, &[1, 0x80, 0, 0, 0, 0, 0, 0, 1]),
        one(10, &[1, 0xff, 0xf8, 0, 0, 0, 0, 0, 0]),
        one(12, b"\x01ad\x00\xffx\x00"),
        one(14, b"\x01abc"),
        [&[2, 0, 12, 6], &b"\x01\x01\x01text\x00\x01\x01\x02"[..]].concat(),
    ]
}

fn run(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let Some((types, key)) = rest.split_at_checked(usize::from(count % 4) + 1) else { return };
    let fields: Vec<Field> =
        types.iter().map(|number| field("k", &format!("{}?", TYPES[usize::from(*number) % TYPES.len()]))).collect();
    let (decoded, mut rest) = (try_decode([key].into_iter(), &fields), key);
    assert_eq!(skip(&mut rest, &fields).is_ok() && rest.is_empty(), decoded.is_ok(), "{decoded:?}");
    let Ok(columns) = decoded else { return };
    let encoded = encode(&columns);
    let again = try_decode([encoded.as_slice()].into_iter(), &fields).expect("it was encoded");
    assert_eq!(encode(&again), encoded);
}

fn encode(columns: &[ArrayRef]) -> Vec<u8> {
    let mut keys = Keys::default();
    keys.encode(columns, 1);
    keys.get(0).to_vec()
}
