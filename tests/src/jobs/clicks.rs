//! The main job: clicks become counts per ad in windows, the same whatever runs them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::Folder;

const CLICKS: u64 = 200_000;

/// Of the generator as the job, over a file, or over pieces of it in the wrong order.
fn job(source: &str) -> String {
    format!(
        r#"
        name = "job"
        [sources.clicks]
        {source}
        event_time = {{ column = "timestamp", unit = "ms" }}
        watermark = {{ out_of_orderness = "5s" }}

        [operators.checked]
        inputs = ["clicks"]
        plugin = "plugins/clicks.wasm"
        operator = "check-click"

        [operators.per_ad]
        inputs = ["checked"]
        key_by = ["ad_id"]
        window = {{ tumbling = "5m" }}
        aggregate = {{ clicks = "count()", rate = {{ plugin = "plugins/click-rate.wasm" }} }}

        [sinks.counts]
        inputs = ["per_ad"]
        connector = "file"
        path = "out"
        format = "json"

        [sinks.rejected]
        inputs = ["checked.rejected"]
        connector = "file"
        path = "rejected"
        format = "json"
        "#
    )
}

/// Plain batch code over the generated lines: rows by (window end in ms, ad).
pub fn oracle(lines: &[String]) -> BTreeMap<(i64, String), (i64, u64, u64)> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let click: Value = serde_json::from_str(line).unwrap();
        let at = click["timestamp"].as_i64().unwrap();
        let end = at.div_euclid(300_000) * 300_000 + 300_000;
        let row: &mut (i64, u64, u64) = counts.entry((end, click["ad_id"].as_str().unwrap().to_owned())).or_default();
        row.0 += 1;
        row.1 += u64::from(click["action"] == "view");
        row.2 += u64::from(click["action"] == "click");
    }
    counts
}

pub fn result(rows: &[String]) -> BTreeMap<(i64, String), (i64, u64, u64)> {
    let rows = rows.iter().map(|row| {
        let row: Value = serde_json::from_str(row).unwrap();
        let end = millis(row["window_end"].as_str().unwrap());
        let number = |column: &str| row[column].as_u64().unwrap();
        let key = (end, row["ad_id"].as_str().unwrap().to_owned());
        (key, (number("clicks") as i64, number("rate_views"), number("rate_clicks")))
    });
    let rows: Vec<_> = rows.collect();
    let map: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(map.len(), rows.len(), "a window fired twice");
    map
}

fn millis(rfc3339: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(rfc3339).unwrap().timestamp_millis()
}

#[test]
fn counts_are_the_oracles_from_generator_or_file_at_any_parallelism() {
    let folder = Folder::new();
    let count = CLICKS.to_string();
    let made = folder.call(&["generate", "clicks", "--count", &count, "--out", "in/clicks.jsonl"]);
    assert!(made.success, "{}", made.stderr);
    let lines = folder.lines("in/clicks.jsonl");
    assert_eq!(lines.len() as u64, CLICKS);
    let expected = oracle(&lines);

    let generator = job(&format!("connector = \"generator\"\nevents = \"clicks\"\ncount = {CLICKS}"));
    let file = job("connector = \"file\"\npath = \"in\"\nformat = \"json\"\nsplit_bytes = \"1MiB\"");
    for job in [generator, file] {
        for parallelism in ["1", "2", "4"] {
            folder.remove("rejected");
            assert_eq!(result(&folder.rows(&job, &["-p", parallelism])), expected, "at parallelism {parallelism}");
            assert_eq!(folder.lines("rejected"), [""; 0]);
            assert!(folder.dead_letters().is_empty());
        }
    }
}

#[test]
fn the_order_of_files_does_not_matter() {
    let folder = Folder::new();
    let made = folder.call(&["generate", "clicks", "--count", "50000", "--out", "all.jsonl"]);
    assert!(made.success, "{}", made.stderr);
    let all = std::fs::read_to_string(folder.path().join("all.jsonl")).unwrap();
    let lines: Vec<String> = all.lines().map(str::to_owned).collect();
    for (number, part) in lines.chunks(7_000).rev().enumerate() {
        folder.write(&format!("in/{number:02}.jsonl"), part.join("\n"));
    }
    let job = job("connector = \"file\"\npath = \"in/*.jsonl\"\nformat = \"json\"\nsplit_bytes = \"300KiB\"");
    for parallelism in ["1", "3"] {
        folder.remove("rejected");
        assert_eq!(result(&folder.rows(&job, &["-p", parallelism])), oracle(&lines));
    }
}
