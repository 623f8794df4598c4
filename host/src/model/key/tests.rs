use arrow_array::{BinaryArray, Float64Array, Int64Array, StringArray, UInt16Array};
use proptest::prelude::*;

use super::*;

fn encode(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let mut keys = Keys::default();
    keys.encode(columns, columns[0].len());
    keys.iter().map(<[u8]>::to_vec).collect()
}

fn array(values: impl Array + 'static) -> ArrayRef {
    Arc::new(values)
}

/// These bytes are durable: a change that breaks this test loses people's state.
#[test]
fn the_bytes_are_pinned() {
    assert_eq!(
        encode(&[array(StringArray::from(vec![Some("ad\0x"), None, Some("")]))]),
        [b"\x01ad\x00\xffx\x00".to_vec(), vec![0], vec![1, 0]]
    );
    assert_eq!(
        encode(&[array(Int64Array::from(vec![1, -1]))]),
        [vec![1, 0x80, 0, 0, 0, 0, 0, 0, 1], vec![1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
    );
    assert_eq!(
        encode(&[array(Float64Array::from(vec![-0.0, f64::NAN, -f64::NAN]))]),
        [
            vec![1, 0x80, 0, 0, 0, 0, 0, 0, 0],
            vec![1, 0xff, 0xf8, 0, 0, 0, 0, 0, 0],
            vec![1, 0xff, 0xf8, 0, 0, 0, 0, 0, 0]
        ]
    );
    let two = [array(UInt16Array::from(vec![258])), array(BinaryArray::from(vec![b"b".as_slice()]))];
    assert_eq!(encode(&two), [vec![1, 1, 2, 1, b'b', 0]]);
}

proptest! {
    #[test]
    fn keys_compare_as_their_columns_and_come_back(
        rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<Vec<u8>>>(), any::<Option<String>>()), 1..40)
    ) {
        let columns = [
            array(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            array(rows.iter().map(|r| r.1.as_deref()).collect::<BinaryArray>()),
            array(rows.iter().map(|r| r.2.as_deref()).collect::<StringArray>()),
        ];
        let keys = encode(&columns);
        for i in 0..rows.len() {
            for j in 0..rows.len() {
                prop_assert_eq!(rows[i].cmp(&rows[j]), keys[i].cmp(&keys[j]));
            }
        }
        let fields = [
            Field::nullable("a", DataType::I64),
            Field::nullable("b", DataType::Bytes),
            Field::nullable("c", DataType::Text),
        ];
        let back = decode(keys.iter().map(Vec::as_slice), &fields);
        for (column, back) in columns.iter().zip(&back) {
            prop_assert_eq!(column.to_data(), back.to_data());
        }
    }

    /// However it is written: there is a short way for one column of text.
    #[test]
    fn a_key_is_its_columns_one_after_the_other(
        rows in prop::collection::vec((prop_oneof!["[a-c]{0,3}", "[\0a]{0,3}"], any::<Option<String>>()), 1..20),
        start in 0usize..20,
    ) {
        let text = StringArray::from_iter_values(rows.iter().map(|row| &row.0));
        let start = start.min(rows.len() - 1);
        let columns = [
            array(text.slice(start, rows.len() - start)),
            array(rows[start..].iter().map(|row| row.1.as_deref()).collect::<StringArray>()),
        ];
        let (one, other) = (encode(&columns[..1]), encode(&columns[1..]));
        let joined: Vec<_> = one.into_iter().zip(other).map(|(one, other)| [one, other].concat()).collect();
        prop_assert_eq!(encode(&columns), joined);
    }

    #[test]
    fn floats_compare_as_numbers(a in any::<f64>(), b in any::<f64>()) {
        let keys = encode(&[array(Float64Array::from(vec![a, b]))]);
        if a < b { prop_assert!(keys[0] < keys[1]); }
        if a == b { prop_assert_eq!(&keys[0], &keys[1]); }
        let back = decode(keys.iter().map(Vec::as_slice), &[Field::new("a", DataType::F64)]);
        let back = back[0].as_primitive::<Float64Type>();
        prop_assert!(back.value(0) == a || a.is_nan() && back.value(0).is_nan());
    }
}
