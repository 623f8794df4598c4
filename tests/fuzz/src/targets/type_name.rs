use wasmill::model::type_name::parse_field;

use crate::Target;

/// A type as people write it: what is read is written as it is read again.
pub const TYPE_NAME: Target = Target {
    name: "type_name",
    run,
    seeds: || {
        let seeds =
            ["i64", "decimal(10, 2)?", "bytes(16)", "struct<a: i64, b: list<struct<c: text?, d: decimal(38,-1)>>?>"];
        seeds.map(|seed| seed.as_bytes().to_vec()).to_vec()
    },
    tokens: &["?", "<", ">", ",", ":", "(", ")", "-", "i64", "list<", "struct<", "decimal(", "bytes(", " ", "é", "999"],
    cases: 50_000,
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(field) = parse_field("x", text) else { return };
    let written = field.to_string();
    let again = parse_field("x", written.strip_prefix("x: ").expect("its name comes first"));
    assert_eq!(again.as_ref(), Ok(&field));
}
