//! Jobs that go on with an operator whose state is declared otherwise than before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::recovery::{die_at, finish};
use super::state_kinds::{FAST, on_rocksdb};
use crate::harness::Folder;

const JOB: &str = r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
    [sources.events]
    connector = "generator"
    events = "keyed"
    keys = 50
    count = 40000
    rate = 20000
    splits = 1
    event_time = { column = "timestamp", unit = "ms" }
    [operators.account]
    inputs = ["events"]
    key_by = ["key"]
    plugin = "plugins/evolving.wasm"
    operator = "first"
    [sinks.out]
    inputs = ["account"]
    connector = "file"
    path = "out"
    format = "json"
    [restart]
    strategy = "none"
"#;

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

fn version(job: &str, operator: &str) -> String {
    job.replace("operator = \"first\"", &format!("operator = \"{operator}\""))
}

#[test]
fn state_goes_on_as_it_is_declared_now() {
    let straight = Folder::new();
    let expected = accounts(&straight.rows(JOB, FAST));
    assert_eq!(expected.len(), 40_000);
    for job in [JOB.to_owned(), on_rocksdb(JOB)] {
        let folder = Folder::new();
        let write = |operator: &str| folder.write("job.toml", version(&job, operator));
        let plan = || folder.call(&["plan", "job.toml"]);
        write("first");
        die_at(&folder, "decided.before_follow", 2, &[]);

        write("second");
        let planned = plan().stdout;
        for state in ["account", "buckets"] {
            assert!(planned.contains(&format!("state `{state}` goes on: fields that are new")), "{planned}");
        }
        die_at(&folder, "decided.before_follow", 2, &[]);

        write("third");
        let planned = plan().stdout;
        assert!(
            planned.contains("state `account` goes on: `migrate` of the plugin converts it from version 0"),
            "{planned}"
        );
        assert!(planned.contains("state `buckets` goes on\n"), "{planned}");
        die_at(&folder, "decided.before_follow", 2, &["--set", "parallelism=3"]);

        write("second");
        let refused = plan();
        let why = "state `account` cannot be taken over: it was written by version 1, and this is version 0";
        assert!(!refused.success && refused.stdout.contains(why), "{}", refused.stdout);
        let refused = folder.call(&["run", "job.toml"]);
        assert!(refused.error().contains(why), "{}", refused.stderr);

        write("third");
        finish(&folder, FAST);
        let lines = folder.lines("out");
        assert_eq!(lines.len(), expected.len());
        assert!(accounts(&lines) == expected);
        let limited: Vec<&String> = lines.iter().filter(|line| line.contains("limit")).collect();
        assert!(!limited.is_empty() && limited.len() < lines.len(), "{}", limited.len());
        let has_defaults = |line: &&String| line.contains("\"limit\":1000") && line.contains("\"label\":\"none\"");
        assert!(limited.iter().all(has_defaults), "{}", limited[0]);
    }
}
