//! The bytes of state values, as `wit/values.md` has them.

use crate::prelude::*;

#[derive(Record, Clone, Debug, Default, PartialEq)]
struct Fixed {
    count: u32,
    on: bool,
    at: Timestamp,
    id: [u8; 2],
}

#[derive(Record, Clone, Debug, Default, PartialEq)]
struct Variable {
    name: String,
    last: Option<i16>,
    parts: Vec<Fixed>,
    bytes: Vec<u8>,
}

#[test]
fn golden_bytes() {
    let fixed = Fixed {
        count: 258,
        on: true,
        at: Timestamp(-1),
        id: [7, 8],
    };
    let mut bytes = Vec::new();
    fixed.encode(&mut bytes);
    let expected = [2, 1, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 7, 8];
    assert_eq!(bytes, expected);
    assert_eq!(Fixed::WIDTH, Some(15));
    assert_eq!(Fixed::decode(&mut &bytes[..]), fixed);

    let value = Variable {
        name: "é".into(),
        last: Some(-2),
        parts: vec![fixed],
        bytes: vec![9],
    };
    bytes.clear();
    value.encode(&mut bytes);
    let mut golden = vec![2, 0, 0, 0, 0xc3, 0xa9, 1, 254, 255, 1, 0, 0, 0];
    golden.extend(expected);
    golden.extend([1, 0, 0, 0, 9]);
    assert_eq!(bytes, golden);
    assert_eq!(Variable::WIDTH, None);
    assert_eq!(Variable::decode(&mut &bytes[..]), value);
}

#[test]
#[should_panic(expected = "ends early")]
fn a_cut_value_is_noticed() {
    Variable::decode(&mut &[2, 0, 0, 0, 0xc3][..]);
}
