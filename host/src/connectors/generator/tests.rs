use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use proptest::prelude::*;

use super::write::write_events;
use super::*;
use crate::dataplane::split::{Read, ReadLimits, Rows};
use crate::model::time::Micros;
use crate::plan::connector::SinkFormat;

fn source(events: GeneratedEvents, count: u64) -> GeneratorSource {
    GeneratorSource { events, count: Some(count), rate: None, seed: 42, out_of_orderness: Micros(5_000_000), splits: 1 }
}

fn clicks() -> GeneratedEvents {
    GeneratedEvents::Clicks { span: Micros(3_600_000_000) }
}

fn keyed() -> GeneratedEvents {
    GeneratedEvents::Keyed { keys: 1000, per_milli: 1000, fill: false }
}

/// The line of `gen_clicks.rs` for event `i` of `n`, as it stands there.
fn reference_line(i: u64, n: u64) -> String {
    let actions = ["view", "click", "purchase", "scroll"];
    let h = mix((i + 1).wrapping_mul(PHI).wrapping_add(42));
    let g = mix(h);
    let ts = 1_700_000_000_000 + i * 3_600_000 / n - (((h & 0xffff_ffff) * 5001) >> 32);
    let ad = ((h >> 32) * 1000) >> 32;
    format!(
        "{{\"user_id\":\"u{:07}\",\"action\":\"{}\",\"timestamp\":{},\"page\":\"/shop/item-{:05}\",\"ad_id\":\"ad{:04}\",\"ip\":\"10.{}.{}.{}\"}}\n",
        ((g >> 40) * 5_000_000) >> 24,
        actions[(g & 3) as usize],
        ts,
        (g >> 8) % 100_000,
        ad,
        (g >> 16) & 255,
        (g >> 24) & 255,
        (g >> 32) & 255
    )
}

#[test]
fn clicks_are_those_of_the_reference_program_byte_for_byte() {
    let mut written = Vec::new();
    assert_eq!(write_events(&source(clicks(), 5000), SinkFormat::Json, &mut written), Ok(5000));
    let expected: String = (0..5000).map(|i| reference_line(i, 5000)).collect();
    assert!(written == expected.as_bytes());
    // And so that the transcription above cannot change with the code:
    let first = "{\"user_id\":\"u3488681\",\"action\":\"scroll\",\"timestamp\":1699999999064,\"page\":\"/shop/item-58714\",\
                 \"ad_id\":\"ad0741\",\"ip\":\"10.111.120.80\"}\n";
    assert!(expected.starts_with(first), "{}", &expected[..200]);
}

/// Printed by the methods of `Gen.java`, run with seed 42 and 1,000 keys: number, key, timestamp, value, payload.
const GEN_JAVA: [(u64, &str, i64, i64, &str); 4] = [
    (
        0,
        "757ecb42e3428abe",
        1699999999064,
        1003,
        "57b4404fddab0e5c764ab1fc9e2546fa4118266e569f7d988896bd980d19b536d34c3b0bc392ecd4ea348ab27c0c2473ede2282038865b11acb0a856f7ff92af0f06dac7a979ca4d4edcdb4862f301ec89abd5f91a6d398a5009ee64d9e67028913f6927",
    ),
    (
        1,
        "7f16b3d4f392ccf6",
        1699999996515,
        614,
        "718a8b08eb5c27c7185c0d9aa5d65e6543e6f42c605096039ab1fea11ccacda1f543f12ed1430540e435c05f8abd3cdea7efd1ce4537747c5656e779ffb0ab1a09181cebbc2ae3b840ea9a1370a41a578bb40a802b1e52f5d27ea835e1978993ffc1e4a9",
    ),
    (
        2,
        "8874131b859e1670",
        1699999999628,
        783,
        "e31315be17e189e52c41ae0fce5ac1838db7299f82d4f8214efebb113b4e30c00f34ba7cf4c7675e508a34eab7419ffca9d8ac586dbbd69ae2d612c522350e39eb8a8036daae45d7943c11a095287d7545e6e7164fa2b4130690ed850c1cecb14e708d0a",
    ),
    (
        1234567,
        "01385ed8f93afa7d",
        1699999999239,
        555,
        "7f353fe1112689809e7fc492cf9fc01ebd31ca038d19f8bc1ce029ba40932f5bfb91a729fc0c67f992471eddb1869e9739ed844f6f00d63520bb14c02e7a0dd47679ee4de2f34472570ef7dc9b6d7c1004e4c1ab51e7b3aec552f23a0c61eb4cb75aa95d",
    ),
];

#[test]
fn keyed_events_are_those_of_the_reference_program() {
    let schema = columns(&keyed());
    let mut maker = Maker::new(&source(keyed(), 1), &schema).unwrap();
    for (i, key, time, value, payload) in GEN_JAVA {
        // Among others, so that rows do not depend on their neighbours.
        let made = maker.make(Numbers { first: i, step: 7, count: 3 });
        assert_eq!(made[0].as_string::<i32>().value(0), key);
        assert_eq!(made[1].as_primitive::<Int64Type>().value(0), time);
        assert_eq!(made[2].as_primitive::<Int64Type>().value(0), value);
        assert_eq!(hex::encode(made[3].as_binary::<i32>().value(0)), payload);
    }
}

fn read(source: &GeneratorSource, schema: &Schema, slots: u16) -> Vec<Rows> {
    let limits = ReadLimits { rows_max: 700, bytes_max: 1 << 20 };
    let slots = Parallelism::new(slots).unwrap();
    let mut all = Vec::new();
    for slot in slots.slots() {
        for mut split in open(source, schema, slot, slots).unwrap().discover().unwrap() {
            if let Some(peeked) = split.peek().unwrap() {
                assert_eq!(peeked.records.num_rows(), 1);
            }
            loop {
                match split.read(limits).unwrap() {
                    Read::Rows(rows) => all.push(rows),
                    Read::Pending => std::thread::yield_now(),
                    Read::End => break,
                }
            }
        }
    }
    all
}

fn times(rows: &[Rows]) -> Vec<(u64, i64)> {
    let mut times: Vec<(u64, i64)> = Vec::new();
    for rows in rows {
        let column = rows.records.column(0).as_primitive::<Int64Type>();
        times.extend(column.values().iter().enumerate().map(|(row, time)| (rows.offsets.get(row).unwrap(), *time)));
    }
    times.sort_unstable();
    times
}

proptest! {
    #[test]
    fn splits_and_slots_change_nothing(count in 0u64..3000, splits in 1u16..6, slots in 1u16..5, is_clicks: bool) {
        let source = source(if is_clicks { clicks() } else { keyed() }, count);
        let schema = Schema::new([Field::new("timestamp", DataType::I64)]);
        let whole = times(&read(&source, &schema, 1));
        prop_assert_eq!(whole.len() as u64, count);
        prop_assert_eq!(times(&read(&GeneratorSource { splits, ..source }, &schema, slots)), whole);
    }
}

#[test]
fn a_rate_is_kept() {
    let source = GeneratorSource { rate: Some(20_000), splits: 2, ..source(keyed(), 2000) };
    let schema = Schema::new([Field::new("timestamp", DataType::I64)]);
    let mut splits = open(&source, &schema, Slot(0), Parallelism::ONE).unwrap().discover().unwrap();
    let started = std::time::Instant::now();
    let (mut made, mut pending) = (0, false);
    while made < 1000 {
        match splits[0].read(ReadLimits { rows_max: 700, bytes_max: 1 << 20 }).unwrap() {
            Read::Rows(rows) => made += rows.records.num_rows(),
            Read::Pending => pending = true,
            Read::End => panic!("ended after {made} events"),
        }
    }
    assert!(pending && started.elapsed().as_millis() >= 99, "{:?}", started.elapsed());
}

#[test]
fn each_key_comes_once_before_the_rate_is_kept() {
    let events = GeneratedEvents::Keyed { keys: 1000, per_milli: 1000, fill: true };
    let source = GeneratorSource { rate: Some(1), splits: 2, ..source(events, 5000) };
    let schema = Schema::new([Field::new("key", DataType::Text)]);
    let limits = ReadLimits { rows_max: 100, bytes_max: 1 << 20 };
    let mut keys = Vec::new();
    for mut split in open(&source, &schema, Slot(0), Parallelism::ONE).unwrap().discover().unwrap() {
        while split.position().as_u64() < Some(1000) {
            let Ok(Read::Rows(rows)) = split.read(limits) else { panic!("{} keys and no more", keys.len()) };
            keys.extend(rows.records.column(0).as_string::<i32>().iter().map(|key| key.unwrap().to_owned()));
        }
        // The first of those that are paced is due at once, the next one is not.
        assert!(matches!(split.read(limits), Ok(Read::Rows(rows)) if rows.records.num_rows() == 1));
        assert!(matches!(split.read(limits), Ok(Read::Pending)));
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 1000);
}

#[test]
fn schemas_that_cannot_be_made_are_refused() {
    let error = |events, field| {
        let schema = Schema::new([field]);
        open(&source(events, 1), &schema, Slot(0), Parallelism::ONE).err().unwrap().message
    };
    assert!(error(clicks(), Field::new("cents", DataType::I64)).contains("makes no column `cents`"));
    assert!(error(keyed(), Field::new("value", DataType::Text)).contains("makes `value: i64`"));
    let none = GeneratedEvents::Keyed { keys: 0, per_milli: 1, fill: false };
    assert!(error(none, Field::new("value", DataType::I64)).contains("`keys` is 0"));
}
