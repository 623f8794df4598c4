use proptest::prelude::*;

use super::*;

/// A value as a tree, for a model that knows nothing of bytes.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Absent,
    Leaf(Vec<u8>),
    List(Vec<Tree>),
    Struct(Vec<(String, Tree)>),
}

fn encode(field: &Field, tree: &Tree, out: &mut Vec<u8>) {
    if field.nullable {
        out.push(u8::from(*tree != Tree::Absent));
    }
    match (&field.data_type, tree) {
        (_, Tree::Absent) => {}
        (_, Tree::Leaf(bytes)) => out.extend_from_slice(bytes),
        (DataType::List(item), Tree::List(items)) => {
            out.extend_from_slice(&(items.len() as u32).to_le_bytes());
            items.iter().for_each(|tree| encode(item, tree, out));
        }
        (DataType::Struct(fields), Tree::Struct(values)) => {
            fields.iter().zip(values).for_each(|(field, (_, tree))| encode(field, tree, out));
        }
        other => panic!("{other:?}"),
    }
}

fn encoded(field: &Field, tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    encode(field, tree, &mut out);
    out
}

/// What the specification says becomes of a value.
fn evolved(then: &Field, now: &Field, value: &Tree, default: Option<&Tree>) -> Option<Tree> {
    if then.nullable != now.nullable {
        return None;
    }
    Some(match (&then.data_type, &now.data_type, value) {
        (_, _, Tree::Absent) => Tree::Absent,
        (DataType::List(then), DataType::List(now), Tree::List(items)) => {
            Tree::List(items.iter().map(|item| evolved(then, now, item, None)).collect::<Option<_>>()?)
        }
        (DataType::Struct(then), DataType::Struct(now), Tree::Struct(values)) => {
            let default = |name: &str| match default {
                Some(Tree::Struct(fields)) => fields.iter().find(|(other, _)| other == name).map(|(_, tree)| tree),
                _ => None,
            };
            let fields = now.iter().map(|field| {
                let tree = match then.iter().position(|other| other.name == field.name) {
                    Some(at) => evolved(&then[at], field, &values[at].1, default(&field.name))?,
                    None => default(&field.name).cloned().or(field.nullable.then_some(Tree::Absent))?,
                };
                Some((field.name.clone(), tree))
            });
            Tree::Struct(fields.collect::<Option<_>>()?)
        }
        (then, now, value) if then == now => value.clone(),
        _ => return None,
    })
}

fn any_field() -> impl Strategy<Value = Field> {
    let leaf = prop::sample::select(vec![
        DataType::Boolean,
        DataType::I64,
        DataType::Text,
        DataType::FixedBytes(3),
        DataType::Decimal { precision: 9, scale: 2 },
    ]);
    let data_type = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            1 => (inner.clone(), any::<bool>()).prop_map(|(data_type, nullable)| {
                DataType::List(Box::new(Field { name: "item".into(), data_type, nullable }))
            }),
            3 => some_fields(inner).prop_map(DataType::Struct),
        ]
    });
    (data_type, any::<bool>()).prop_map(|(data_type, nullable)| Field { name: "value".into(), data_type, nullable })
}

/// Fields of few names, so that two structures often share some.
fn some_fields(data_type: impl Strategy<Value = DataType>) -> impl Strategy<Value = Vec<Field>> {
    let names = prop::sample::subsequence(vec!["a", "b", "c", "d", "e"], 0..=4).prop_shuffle();
    (names, prop::collection::vec((data_type, any::<bool>()), 4)).prop_map(|(names, types)| {
        let field =
            |(name, (data_type, nullable)): (&str, (DataType, bool))| Field { name: name.into(), data_type, nullable };
        names.into_iter().zip(types).map(field).collect()
    })
}

/// The same type with fields taken away, moved and added, here and there.
fn changed(field: &Field, random: &mut impl FnMut(usize) -> usize) -> Field {
    let data_type = match &field.data_type {
        DataType::List(item) => DataType::List(Box::new(changed(item, random))),
        DataType::Struct(fields) => {
            let mut fields: Vec<Field> = fields.iter().map(|field| changed(field, random)).collect();
            if !fields.is_empty() && random(3) == 0 {
                fields.remove(random(fields.len()));
            }
            for new in ["x", "y"] {
                if random(3) == 0 {
                    let nullable = random(2) == 0;
                    let data_type = if random(2) == 0 { DataType::Text } else { DataType::I64 };
                    fields.insert(random(fields.len() + 1), Field { name: new.into(), data_type, nullable });
                }
            }
            let by = if fields.is_empty() { 0 } else { random(fields.len()) };
            fields.rotate_left(by);
            DataType::Struct(fields)
        }
        DataType::I64 if random(20) == 0 => DataType::Text,
        other => other.clone(),
    };
    Field { data_type, ..field.clone() }
}

fn any_tree(field: &Field, random: &mut impl FnMut(usize) -> usize) -> Tree {
    if field.nullable && random(4) == 0 {
        return Tree::Absent;
    }
    let mut bytes = |count: usize| (0..count).map(|_| random(256) as u8).collect::<Vec<u8>>();
    match &field.data_type {
        DataType::Text => {
            let text = "x".repeat(random(6));
            Tree::Leaf([&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
        }
        DataType::List(item) => Tree::List((0..random(4)).map(|_| any_tree(item, random)).collect()),
        DataType::Struct(fields) => {
            Tree::Struct(fields.iter().map(|field| (field.name.clone(), any_tree(field, random))).collect())
        }
        other => Tree::Leaf(bytes(other.fixed_width().unwrap())),
    }
}

fn random(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    }
}

fn declared<'a>(value: &'a Field, defaults: &'a [u8]) -> Declared<'a> {
    Declared { kind: "value", key: None, value, defaults, version: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn values_evolve_by_name(then in any_field(), seed in any::<u64>()) {
        let mut random = random(seed);
        let now = changed(&then, &mut random);
        let (value, default) = (any_tree(&then, &mut random), any_tree(&now, &mut random));
        let defaults = encoded(&now, &default);
        let bytes = encoded(&then, &value);
        let expected = evolved(&then, &now, &value, Some(&default)).map(|tree| encoded(&now, &tree));
        match evolution(&declared(&then, &[]), &declared(&now, &defaults)) {
            Evolution::Compatible => {
                prop_assert_eq!(&then.data_type, &now.data_type);
                prop_assert_eq!(Some(bytes), expected);
            }
            Evolution::Transcode(transcoder) => {
                prop_assert_eq!(Some(transcoder.transcode(&bytes).unwrap()), expected);
                let mut longer = bytes.clone();
                longer.push(0);
                prop_assert!(transcoder.transcode(&longer).is_err());
            }
            // What is refused because of its type may still work for a value in which that part is absent.
            Evolution::Incompatible(_) => prop_assert!(then.data_type != now.data_type),
            Evolution::Migrate => prop_assert!(false),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(then in any_field(), seed in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut random = random(seed);
        let now = changed(&then, &mut random);
        if let Evolution::Transcode(transcoder) = evolution(&declared(&then, &[]), &declared(&now, &bytes)) {
            let _ = transcoder.transcode(&bytes);
        }
    }
}

#[test]
fn each_change_has_its_outcome() {
    let record = |fields: Vec<Field>| Field::new("value", DataType::Struct(fields));
    let (count, name) = (Field::new("count", DataType::U32), Field::new("name", DataType::Text));
    let then = record(vec![count.clone()]);
    let now = record(vec![name.clone(), count.clone()]);
    let defaults = [&[2u8, 0, 0, 0][..], b"me", &[9, 0, 0, 0]].concat();
    let outcome = |then: Declared<'_>, now: Declared<'_>| evolution(&then, &now);
    assert_eq!(outcome(declared(&then, &[]), declared(&then, &[0; 4])), Evolution::Compatible);
    let Evolution::Transcode(transcoder) = outcome(declared(&then, &[]), declared(&now, &defaults)) else { panic!() };
    assert_eq!(transcoder.transcode(&[7, 0, 0, 0]).unwrap(), [&[2u8, 0, 0, 0][..], b"me", &[7, 0, 0, 0]].concat());
    assert_eq!(transcoder.transcode(&[7, 0, 0]).unwrap_err(), "a value ends early: it is not of its type");

    let newer = Declared { version: 1, ..declared(&now, &defaults) };
    assert_eq!(outcome(declared(&then, &[]), newer), Evolution::Migrate);
    let why = |then: Declared<'_>, now: Declared<'_>| match evolution(&then, &now) {
        Evolution::Incompatible(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(newer, declared(&then, &[])).contains("version 1"));
    let list = Declared { kind: "list", ..declared(&then, &[]) };
    assert!(why(list, declared(&then, &[])).contains("of kind list"));
    let text_keys = Declared { key: Some(&name), ..declared(&then, &[]) };
    assert!(why(text_keys, Declared { key: Some(&count), ..text_keys }).contains("the keys of its map were text"));
    let wide = record(vec![Field::new("count", DataType::U64)]);
    let why = why(declared(&then, &[]), declared(&wide, &[0; 8]));
    assert_eq!(why, "`count: u32` has become `count: u64`: raise its `version` and implement `migrate`");
}
