use proptest::prelude::*;

use super::*;
use crate::sandbox::bindings::wasmill::operator::columns::{DictionaryResult, VariableResult};

fn any_type() -> impl Strategy<Value = DataType> {
    let leaf = prop::sample::select(vec![
        DataType::Boolean,
        DataType::I8,
        DataType::I64,
        DataType::U32,
        DataType::F64,
        DataType::Decimal { precision: 10, scale: 2 },
        DataType::Text,
        DataType::Bytes,
        DataType::FixedBytes(3),
        DataType::FixedBytes(65_536),
        DataType::Timestamp,
        DataType::Date,
    ]);
    leaf.prop_recursive(2, 6, 3, |inner| {
        let field =
            (inner, any::<bool>()).prop_map(|(data_type, nullable)| Field { name: "f".into(), data_type, nullable });
        prop_oneof![
            field.clone().prop_map(|item| DataType::List(Box::new(item))),
            prop::collection::vec(field, 1..3).prop_map(|mut fields| {
                fields.iter_mut().enumerate().for_each(|(i, field)| field.name = format!("f{i}"));
                DataType::Struct(fields)
            }),
        ]
    })
}

/// Mostly what a column of a few rows looks like, so that it gets past the first check now and then.
fn any_values() -> impl Strategy<Value = ValuesResult> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let offsets = || {
        prop::collection::vec(-1i32..6, 0..5).prop_flat_map(|mut offsets| {
            let sorted = {
                offsets.sort_unstable();
                offsets.insert(0, 0);
                offsets.clone()
            };
            prop_oneof![3 => Just(sorted), 1 => Just(offsets).prop_shuffle()]
        })
    };
    prop_oneof![
        Just(ValuesResult::Nulls),
        bytes().prop_map(ValuesResult::Booleans),
        prop::collection::vec(any::<i8>(), 0..5).prop_map(ValuesResult::S8s),
        prop::collection::vec(any::<i32>(), 0..5).prop_map(ValuesResult::S32s),
        prop::collection::vec(any::<i64>(), 0..5).prop_map(ValuesResult::S64s),
        prop::collection::vec(any::<u32>(), 0..5).prop_map(ValuesResult::U32s),
        prop::collection::vec(any::<f64>(), 0..5).prop_map(ValuesResult::F64s),
        bytes().prop_map(ValuesResult::Fixed),
        (offsets(), bytes()).prop_map(|(offsets, data)| ValuesResult::Variable(VariableResult { offsets, data })),
        (offsets(), "[a-zé]{0,8}")
            .prop_map(|(offsets, text)| ValuesResult::Variable(VariableResult { offsets, data: text.into_bytes() })),
        offsets().prop_map(ValuesResult::Sequences),
        huge().prop_map(|last| ValuesResult::Sequences(vec![0, last as i32])),
        Just(ValuesResult::Structures),
        (prop::collection::vec(0u32..4, 0..5), prop_oneof![3 => 0u32..4, 1 => huge()])
            .prop_map(|(indices, size)| ValuesResult::Dictionary(DictionaryResult { indices, size })),
    ]
}

/// More rows than there can be memory for, or about as many as the budget has bytes, or few.
fn huge() -> impl Strategy<Value = u32> {
    prop_oneof![Just(i32::MAX as u32), Just(u32::MAX), 0..2 * BUDGET as u32, 0u32..20]
}

const BUDGET: usize = 64 << 10;

fn any_column() -> impl Strategy<Value = ColumnResult> {
    let validity = prop::option::weighted(0.3, prop::collection::vec(any::<u8>(), 0..2));
    (validity, any_values()).prop_map(|(validity, values)| ColumnResult { validity, values })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever a guest returns is refused, or is a column that Arrow itself finds whole.
    #[test]
    fn what_is_lifted_is_sound(
        data_type in any_type(),
        nullable in any::<bool>(),
        guest in prop::collection::vec(any_column(), 0..6),
        rows in 0usize..4,
    ) {
        let schema = Schema::new([Field { name: "c".into(), data_type, nullable }]);
        let mut budget = OutputBudget::new(BUDGET);
        if let Ok(lifted) = columns(guest, &schema, rows, &mut budget) {
            prop_assert_eq!(lifted.len(), 1);
            prop_assert_eq!(lifted[0].len(), rows);
            prop_assert_eq!(lifted[0].data_type(), &schema.fields()[0].data_type.to_arrow());
            prop_assert!(nullable || lifted[0].null_count() == 0);
            lifted[0].to_data().validate_full().unwrap();
            // A few hundred bytes crossed. The rest was charged; Arrow rounds each buffer up.
            prop_assert!(lifted[0].get_array_memory_size() < 4 * BUDGET);
        }
    }

    #[test]
    fn values_are_refused_or_whole(column in any_column(), width in prop::option::of(1usize..4), rows in 0usize..4) {
        if let Ok(values) = values(column, width, rows, &mut OutputBudget::new(BUDGET)) {
            prop_assert_eq!(values.len(), rows);
            (0..rows).for_each(|row| {
                let value = values.get(row);
                assert!(width.is_none() || value.is_none_or(|value| Some(value.len()) == width));
            });
        }
    }
}

#[test]
fn a_refusal_says_what_was_wrong() {
    let schema = Schema::new([Field::new("n", DataType::I64), Field::new("t", DataType::Text)]);
    let numbers = |n: usize| ColumnResult { validity: None, values: ValuesResult::S64s(vec![0; n]) };
    let text = |offsets: Vec<i32>, data: &[u8]| ColumnResult {
        validity: None,
        values: ValuesResult::Variable(VariableResult { offsets, data: data.to_vec() }),
    };
    let error = |guest: Vec<ColumnResult>| columns(guest, &schema, 2, &mut OutputBudget::new(BUDGET)).unwrap_err();
    assert_eq!(error(vec![numbers(3), text(vec![0, 0, 0], b"")]), "column `n`: 3 values where there should be 2");
    assert_eq!(error(vec![numbers(2)]), "column `t`: it is missing");
    assert_eq!(
        error(vec![numbers(2), text(vec![0, 2, 1], b"ab")]),
        "column `t`: its offsets fall from 2 to 1 at row 1"
    );
    assert_eq!(
        error(vec![numbers(2), text(vec![0, 1, 3], b"ab")]),
        "column `t`: its last offset is 3, behind its 2 bytes"
    );
    assert!(error(vec![numbers(2), text(vec![0, 1, 2], b"a\xff")]).starts_with("column `t`: it is not UTF-8"));
    let nulls = ColumnResult { validity: Some(vec![1]), values: ValuesResult::S64s(vec![0; 2]) };
    assert_eq!(
        error(vec![nulls, text(vec![0, 0, 0], b"")]),
        "column `n`: it has nulls, and its schema says that it has none"
    );
}

/// As many as there are bytes for would take more stack than a thread has.
#[test]
fn a_dictionary_holds_no_dictionary() {
    let dictionary = || ColumnResult {
        validity: None,
        values: ValuesResult::Dictionary(DictionaryResult { indices: Vec::new(), size: 0 }),
    };
    let schema = Schema::new([Field::new("c", DataType::I64)]);
    let guest = (0..1_000_000).map(|_| dictionary()).collect();
    let error = columns(guest, &schema, 0, &mut OutputBudget::new(BUDGET)).unwrap_err();
    assert_eq!(error, "column `c`: a dictionary of a dictionary");
}

#[test]
fn what_would_become_more_than_an_answer_may_be_is_refused_before() {
    let nullable = |data_type| Schema::new([Field::nullable("c", data_type)]);
    let list = |item| DataType::List(Box::new(Field::nullable("item", item)));
    let column = |values| ColumnResult { validity: None, values };
    let dictionary = |rows: usize, size| ValuesResult::Dictionary(DictionaryResult { indices: vec![0; rows], size });
    let text =
        |len: usize| ValuesResult::Variable(VariableResult { offsets: vec![0, len as i32], data: vec![b'x'; len] });
    let lift = |data_type, rows, guest: Vec<ValuesResult>| {
        let guest = guest.into_iter().map(column).collect();
        columns(guest, &nullable(data_type), rows, &mut OutputBudget::new(BUDGET)).map(|lifted| lifted[0].len())
    };
    let largest = || ValuesResult::Sequences(vec![0, i32::MAX]);
    let empty = || DataType::Struct(Vec::new());
    for refused in [
        lift(DataType::FixedBytes(65_536), 2, vec![ValuesResult::Nulls]),
        lift(DataType::Text, 1, vec![dictionary(1, u32::MAX), ValuesResult::Nulls]),
        lift(DataType::Text, 20, vec![dictionary(20, 1), text(10_000)]),
        lift(list(DataType::Text), 1, vec![largest(), ValuesResult::Nulls]),
        lift(list(empty()), 1, vec![largest(), ValuesResult::Structures]),
        // Each step is small, and all of them are not.
        lift(
            list(list(DataType::I64)),
            2,
            vec![dictionary(2, 1), ValuesResult::Sequences(vec![0, 6_000]), ValuesResult::Nulls],
        ),
    ] {
        assert!(refused.unwrap_err().contains("output_bytes_max is 65536"));
    }
    assert_eq!(lift(DataType::FixedBytes(60_000), 1, vec![ValuesResult::Nulls]), Ok(1));
    assert_eq!(lift(DataType::Text, 5, vec![dictionary(5, 1), text(10_000)]), Ok(5));
    // What crossed has been counted there.
    assert_eq!(lift(DataType::Text, 1, vec![text(2 * BUDGET)]), Ok(1));
    let absent = column(ValuesResult::Nulls);
    assert!(values(absent, Some(65_536), 2, &mut OutputBudget::new(BUDGET)).is_err());
}
