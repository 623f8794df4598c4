//! Jobs that go on with an operator whose state is declared otherwise than before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::Folder;
use crate::keyed_job::{FAST, die_at, finish_fast, json_files, keyed_events, no_restart, on_rocksdb};

const JOB: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 50
    count = 40000
    rate = 4000
    splits = 1
    [operators.account]
    inputs = ["events"]
    key_by = ["key"]
    plugin = "plugins/evolving.wasm"
    operator = "first"
"#,
    json_files!("out", r#"["account"]"#),
    no_restart!()
);

const WINDOWED: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 200
    per_milli = 1
    count = 40000
    rate = 4000
    splits = 1
    [operators.totals]
    inputs = ["events"]
    key_by = ["key"]
    window = { sliding = "10s", slide = "1s" }
    aggregate = { n = "count()", total = { plugin = "plugins/evolving.wasm", operator = "first-total" } }
"#,
    json_files!("out", r#"["totals"]"#),
    no_restart!()
);

/// The same events are what is broadcast, so that there is a row from each slot for each of them too.
const SHARED: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 50
    count = 20000
    rate = 4000
    splits = 1
    [operators.shared]
    inputs = ["events"]
    broadcast = ["events"]
    key_by = ["key"]
    plugin = "plugins/evolving.wasm"
    operator = "first-shared"
"#,
    json_files!("out", r#"["shared"]"#),
    no_restart!()
);

/// The rows of a job whose operator is replaced by its second version and then by its third, which the plan says something
/// about; back it may not go.
fn through_versions(job: &str, of_second: &[&str], of_third: &[&str], refused: &str) -> Vec<String> {
    let folder = Folder::new();
    let version = |version: &str| {
        folder.write("job.toml", job.replace("operator = \"first", &format!("operator = \"{version}")));
        folder.call(&["plan", "job.toml"])
    };
    let says = |planned: &str, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(planned.contains(part), "`{part}` is missing in: {planned}"));
    };
    version("first");
    die_at(&folder, "decided.before_follow", 2, &[]);
    says(&version("second").stdout, of_second);
    die_at(&folder, "decided.before_follow", 2, &[]);
    says(&version("third").stdout, of_third);
    die_at(&folder, "decided.before_follow", 2, &["--set", "parallelism=3"]);

    let planned = version("second");
    assert!(!planned.success);
    says(&planned.stdout, &[refused]);
    says(folder.call(&["run", "job.toml"]).error(), &[refused]);

    version("third");
    finish_fast(&folder, &[]);
    folder.lines("out")
}

/// What each event of each key has made, without what only later versions say.
fn accounts(lines: &[String]) -> BTreeMap<(String, u64), (i64, u64)> {
    let row = |line: &String| {
        let row: Value = serde_json::from_str(line).unwrap();
        let key = row["key"].as_str().unwrap().to_owned();
        let number = |name: &str| row[name].as_u64().unwrap();
        ((key, number("count")), (row["spent"].as_i64().unwrap(), number("alike")))
    };
    lines.iter().map(row).collect()
}

#[test]
fn state_goes_on_as_it_is_declared_now() {
    let straight = Folder::new();
    let expected = accounts(&straight.rows(JOB, FAST));
    assert_eq!(expected.len(), 40_000);
    for job in [JOB.to_owned(), on_rocksdb(JOB)] {
        let lines = through_versions(
            &job,
            &["state `account` goes on: fields that are new", "state `buckets` goes on: fields that are new"],
            &[
                "state `account` goes on: `migrate` of the plugin converts it from version 0",
                "state `buckets` goes on\n",
            ],
            "state `account` cannot be taken over: it was written by version 1, and this is version 0",
        );
        assert_eq!(lines.len(), expected.len());
        assert!(accounts(&lines) == expected);
        let limited: Vec<&String> = lines.iter().filter(|line| line.contains("\"limit\":1000")).collect();
        assert!(!limited.is_empty() && limited.len() < lines.len(), "{}", limited.len());
        assert!(limited.iter().all(|line| line.contains("\"label\":\"none\"")), "{}", limited[0]);
    }
}

/// The rows of windows, without what only later versions say.
fn totals(lines: &[String]) -> BTreeMap<(String, String), [i64; 3]> {
    let row = |line: &String| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (
            (text("key"), text("window_start")),
            ["n", "total_events", "total_spent"].map(|name| row[name].as_i64().unwrap()),
        )
    };
    lines.iter().map(row).collect()
}

#[test]
fn accumulators_go_on_as_they_are_declared_now() {
    let straight = Folder::new();
    let expected = totals(&straight.rows(WINDOWED, FAST));
    assert!(expected.len() > 9_000, "{}", expected.len());
    let whole = WINDOWED.replace("interval = \"25ms\"", "interval = \"25ms\"\n    incremental = false");
    for job in [WINDOWED.to_owned(), on_rocksdb(WINDOWED), on_rocksdb(&whole)] {
        let lines = through_versions(
            &job,
            &["`totals`: windows goes on\n", "aggregate `total` goes on: fields that are new"],
            &[
                "`totals`: windows goes on\n",
                "aggregate `total` goes on: `migrate` of the plugin converts it from version 0",
            ],
            "aggregate `total` cannot be taken over: it was written by version 1, and this is version 0",
        );
        assert_eq!(lines.len(), expected.len());
        assert!(totals(&lines) == expected);
        assert!(lines.iter().any(|line| line.contains("\"total_limit\":1000")));
    }
}

/// What everybody has spent after each event of a bucket.
type Spent = BTreeMap<(i64, u64), i64>;

/// That, and how many events each key has had: each once.
fn known(lines: &[String]) -> (Spent, BTreeSet<(String, u64)>) {
    let (mut spent, mut events) = (Spent::new(), BTreeSet::new());
    for line in lines {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| row[name].as_i64().unwrap();
        let count = row["count"].as_u64().unwrap();
        if count > 0 {
            let known = *spent.entry((number("bucket"), count)).or_insert(number("spent"));
            assert_eq!(known, number("spent"), "slots and events see the same: {row}");
        }
        if let Some(key) = row["key"].as_str() {
            assert!(events.insert((key.to_owned(), row["events"].as_u64().unwrap())), "twice: {row}");
        }
    }
    (spent, events)
}

#[test]
fn broadcast_state_goes_on_as_it_is_declared_now() {
    let straight = Folder::new();
    let expected = known(&straight.rows(SHARED, FAST));
    assert_eq!((expected.0.len(), expected.1.len()), (20_000, 20_000));
    for job in [SHARED.to_owned(), on_rocksdb(SHARED)] {
        let lines = through_versions(
            &job,
            &["state `account` goes on: fields that are new", "state `everybody` goes on: fields that are new"],
            &[
                "state `account` goes on: `migrate` of the plugin converts it from version 0",
                "state `everybody` goes on: `migrate` of the plugin converts it from version 0",
            ],
            "state `everybody` cannot be taken over: it was written by version 1, and this is version 0",
        );
        assert!(known(&lines) == expected);
        assert!(lines.iter().any(|line| line.contains("\"limit\":1000")));
    }
}
