//! Rows find their slots: by key, round, to all; and streams become one.

use serde_json::Value;

use crate::harness::Folder;

const SOURCE: &str = r#"
    name = "job"
    [sources.events]
    connector = "generator"
    events = "keyed"
    keys = 50
    count = 20000
    splits = 3
    event_time = { column = "timestamp", unit = "ms" }
    watermark = { out_of_orderness = "5s" }
"#;

const COUNT: &str = r#"
    key_by = ["key"]
    plugin = "plugins/count.wasm"
"#;

const SINK: &str = r#"
    connector = "file"
    path = "out"
    format = "json"
"#;

fn counts(rows: &[String]) -> (usize, u64) {
    let count = |row: &String| serde_json::from_str::<Value>(row).unwrap()["count"].as_u64().unwrap();
    (rows.len(), rows.iter().map(count).sum())
}

#[test]
fn a_key_is_counted_in_one_place_whatever_the_parallelism() {
    let folder = Folder::new();
    let job =
        format!("{SOURCE}[operators.count]\ninputs = [\"events\"]\n{COUNT}[sinks.out]\ninputs = [\"count\"]{SINK}");
    let one = counts(&folder.rows(&job, &["-p", "1"]));
    assert_eq!(one.0, 20_000);
    for parallelism in ["2", "5"] {
        assert_eq!(counts(&folder.rows(&job, &["-p", parallelism])), one, "at parallelism {parallelism}");
    }
}

#[test]
fn a_stream_read_twice_is_two_streams() {
    let folder = Folder::new();
    let job = format!(
        "{SOURCE}[operators.count]\ninputs = [\"events\", \"events\"]\n{COUNT}[sinks.out]\ninputs = [\"count\"]{SINK}"
    );
    let (rows, _) = counts(&folder.rows(&job, &["-p", "2"]));
    assert_eq!(rows, 40_000);
}

#[test]
fn broadcast_gives_every_slot_every_row_and_rebalance_each_row_to_one() {
    let folder = Folder::new();
    let job = |exchange: &str| {
        format!(
            "{SOURCE}parallelism = 1\n[operators.even]\ninputs = [{{ from = \"events\", exchange = \"{exchange}\" }}]\n\
             plugin = \"plugins/filter-payload.wasm\"\nparallelism = 3\n[sinks.out]\ninputs = [\"even\"]{SINK}"
        )
    };
    let once = folder.rows(&job("rebalance"), &[]);
    let thrice = folder.rows(&job("broadcast"), &[]);
    assert!(once.len() > 5_000 && once.len() < 15_000, "{}", once.len());
    let mut expected: Vec<String> = once.iter().flat_map(|row| vec![row.clone(); 3]).collect();
    expected.sort();
    assert!(thrice == expected, "{} rows, not three times {}", thrice.len(), once.len());
}

/// A node that reads a stream at once and by way of others, or twice, is not in the task that writes it: that would wait for
/// its own barrier, and for its own room.
#[test]
fn streams_that_part_meet_again() {
    const CHECKED: &str = r#"
        [checkpoints]
        interval = "5ms"
        timeout = "20s"
        [restart]
        strategy = "none"
        [limits]
        batch_rows_max = 100
        channel_bytes_max = "16KiB"
    "#;
    const SHARED: &str = r#"
        [operators.shared]
        inputs = ["events"]
        broadcast = ["events"]
        key_by = ["key"]
        plugin = "plugins/evolving.wasm"
        operator = "first-shared"
    "#;
    for parallelism in [1, 2, 3] {
        let slots = parallelism.to_string();
        let rows = |operator: &str, inputs: &str| {
            let job = format!("{SOURCE}{operator}[sinks.out]\ninputs = {inputs}{SINK}{CHECKED}");
            Folder::new().rows(&job, &["-p", &slots]).len()
        };
        let count = format!("[operators.count]\ninputs = [\"events\"]\n{COUNT}");
        assert_eq!(rows(&count, "[\"events\", \"count\"]"), 40_000, "{slots} slots");
        assert_eq!(rows(SHARED, "[\"shared\"]"), 20_000 * (1 + parallelism), "{slots} slots");
    }
}
