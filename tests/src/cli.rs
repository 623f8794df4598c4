//! The program as a user meets it: what it prints, what it refuses, and how it stops.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{Folder, Running};

const EVENTS: &str = r#"
    name = "job"
    [sources.events]
    connector = "generator"
    events = "keyed"
    count = 1000
    event_time = { column = "timestamp", unit = "ms" }
"#;

fn job(operator: &str) -> String {
    format!(
        "{EVENTS}\n[operators.op]\ninputs = [\"events\"]\n{operator}\n[sinks.out]\ninputs = [\"op\"]\nconnector = \"stdout\"\n"
    )
}

#[test]
fn a_mistake_is_one_message_with_its_place_and_what_is_allowed() {
    let folder = Folder::new();
    folder.write("core.wasm", [0, b'a', b's', b'm', 1, 0, 0, 0]);
    folder.write("text.wasm", "not wasm at all");
    let cases = [
        ("window = { tumbling = \"5 parsecs\" }\naggregate = { n = \"count()\" }", vec!["job.toml:", "5 parsecs"]),
        ("pluggin = \"plugins/count.wasm\"", vec!["job.toml:", "pluggin", "plugin"]),
        ("plugin = \"none.wasm\"", vec!["job.toml:", "none.wasm", "wasmill build"]),
        ("plugin = \"core.wasm\"", vec!["core module", "wasmill build"]),
        ("plugin = \"text.wasm\"", vec!["not a WebAssembly component"]),
        ("plugin = \"plugins/count.wasm\"", vec!["key_by"]),
        ("plugin = \"plugins/count.wasm\"\nkey_by = [\"value\"]", vec!["value: text", "value: i64"]),
        ("plugin = \"plugins/map.wasm\"\noperator = \"map-vale\"", vec!["map-vale", "map-value"]),
        ("plugin = \"plugins/clicks.wasm\"", vec!["action"]),
        ("key_by = [\"kee\"]\nwindow = { tumbling = \"5m\" }\naggregate = { n = \"count()\" }", vec!["kee"]),
        ("key_by = [\"key\"]\nwindow = { tumbling = \"5m\" }\naggregate = { n = \"sum(key)\" }", vec!["sum", "text"]),
    ];
    for (operator, parts) in cases {
        let ran = folder.run(&job(operator), &[]);
        let error = ran.error();
        parts.iter().for_each(|part| assert!(error.contains(part), "`{part}` is missing in: {error}"));
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_job_file_that_is_not_there_or_not_toml() {
    let folder = Folder::new();
    assert!(folder.call(&["run", "none.toml"]).error().contains("none.toml"));
    let ran = folder.run("name = \"job\"\n[sources.events\n", &[]);
    assert!(ran.error().contains("job.toml:2:"), "{}", ran.stderr);
    let ran = folder.run(&job("plugin = \"plugins/filter-payload.wasm\""), &["--set", "sources.events.cuont=5"]);
    assert!(ran.error().contains("cuont") && ran.error().contains("count"), "{}", ran.stderr);
}

#[test]
fn the_summary_has_the_operators_own_metrics() {
    let folder = Folder::new();
    folder.write("access.log", std::fs::read(crate::harness::repository().join("tests/data/access.log")).unwrap());
    let job = r#"
        name = "job"
        [sources.lines]
        connector = "file"
        path = "access.log"
        format = "raw"
        split_bytes = "256KiB"
        [operators.requests]
        inputs = ["lines"]
        plugin = "plugins/access-log.wasm"
        event_time = { column = "time" }
        watermark = { out_of_orderness = "2m" }
        [operators.latest]
        inputs = ["events"]
        key_by = ["key"]
        plugin = "plugins/throttle.wasm"
        [sources.events]
        connector = "generator"
        events = "keyed"
        keys = 10
        count = 1000
        [sinks.out]
        inputs = ["requests", "latest"]
        connector = "blackhole"
    "#;
    let ran = folder.run(job, &["-p", "2"]);
    assert!(ran.success, "{}", ran.stderr);
    let shown = |operator: &str, metric: &str| {
        let lines = ran.stderr.lines().filter(|line| line.contains(operator));
        let found: Vec<&str> = lines.filter_map(|line| line.split_once(metric)).map(|(_, values)| values).collect();
        let [values] = found[..] else { panic!("{operator} {metric}: {}", ran.stderr) };
        values.to_owned()
    };
    // The slots' values together, as a script sums and sorts them.
    let bytes = shown("requests", "bytes: ");
    assert!(bytes.starts_with("9,999 values, mean 274755.7, min 0.0, p50 "), "{bytes}");
    assert!(bytes.ends_with(", max 69192717.0"), "{bytes}");
    assert_eq!(shown("latest", "replaced: "), "990");
}

#[test]
fn a_report_says_what_a_job_came_to() {
    let folder = Folder::new();
    let counts = job("plugin = \"plugins/count.wasm\"\nkey_by = [\"key\"]");
    let report = |arguments: &[&str]| -> serde_json::Value {
        let ran = folder.run(&counts, &[&["--report", "report.json"], arguments].concat());
        assert!(ran.success, "{}", ran.stderr);
        let text = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let without = report(&[]);
    assert_eq!((&without["state"], &without["checkpoints"]["completed_checkpoints"]), (&"finished".into(), &0.into()));
    let node = |name: &str| without["nodes"].as_array().unwrap().iter().find(|node| node["uid"] == name).unwrap();
    assert_eq!((&node("events")["records_out_total"], &node("out")["records_in_total"]), (&1000.into(), &1000.into()));

    let with = report(&["--set", "checkpoints.interval=1h"]);
    let made = &with["checkpoints"]["recent_checkpoints"];
    assert_eq!((made.as_array().unwrap().len(), &made[0]), (1, &with["checkpoints"]["last_completed_checkpoint"]));
    let took = |of: &str| made[0][of].as_u64().unwrap();
    assert!(took("checkpoint_alignment_ms") <= took("checkpoint_duration_ms"), "{made}");
}

#[test]
fn explain_shows_the_plan_and_inspect_the_component() {
    let folder = Folder::new();
    folder.write("job.toml", job("plugin = \"plugins/count.wasm\"\nkey_by = [\"key\"]"));
    let tree = folder.call(&["explain", "job.toml", "-p", "2"]);
    assert!(tree.success, "{}", tree.stderr);
    for part in ["source events", "hash(key)", "operator op  x2", "count: u64", "sink out"] {
        assert!(tree.stdout.contains(part), "`{part}` is missing in:\n{}", tree.stdout);
    }
    let dot = folder.call(&["explain", "job.toml", "--dot"]);
    assert!(dot.success && dot.stdout.starts_with("digraph"), "{}", dot.stdout);
    let inspected = folder.call(&["inspect", "plugins/count.wasm"]);
    for part in ["sha256:", "process count", "key    key: text"] {
        assert!(inspected.stdout.contains(part), "`{part}` is missing in:\n{}", inspected.stdout);
    }
}

#[test]
fn ctrl_c_and_sigterm_drain_windows_fire_and_the_exit_is_clean() {
    let folder = Folder::new();
    let job = r#"
        name = "job"
        [sources.events]
        connector = "generator"
        events = "keyed"
        keys = 1
        per_milli = 1
        rate = 20000
        event_time = { column = "timestamp", unit = "ms" }
        [operators.counts]
        inputs = ["events"]
        key_by = ["key"]
        window = { tumbling = "1s" }
        aggregate = { n = "count()" }
        [sinks.out]
        inputs = ["counts"]
        connector = "stdout"
    "#;
    for signal in [Signal::INT, Signal::TERM] {
        let (mut running, mut lines) = Running::start(&folder, job);
        assert!(lines.next().is_some(), "a window fires while the job runs");
        running.signal(signal);
        let rest: Vec<String> = lines.collect();
        assert!(running.succeeded(), "{signal:?}");
        assert!(!rest.is_empty(), "the open window fires when the job drains");
    }
}

#[test]
fn a_followed_file_is_read_as_it_grows() {
    let folder = Folder::new();
    folder.write("in/a.log", "one\nhalf");
    let job = r#"
        name = "job"
        [sources.lines]
        connector = "file"
        path = "in"
        format = "raw"
        schema = { line = "text" }
        follow = true
        discover_interval = "10ms"
        [sinks.out]
        inputs = ["lines"]
        connector = "stdout"
    "#;
    let (mut running, mut lines) = Running::start(&folder, job);
    assert_eq!(lines.next().as_deref(), Some(r#"{"line":"one"}"#));
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.path().join("in/a.log")).unwrap();
    file.write_all(b" done\n").unwrap();
    assert_eq!(lines.next().as_deref(), Some(r#"{"line":"half done"}"#));
    folder.write("in/b.log", "another file\n");
    assert_eq!(lines.next().as_deref(), Some(r#"{"line":"another file"}"#));
    running.interrupt();
    assert_eq!(lines.next(), None);
    assert!(running.succeeded());
}

#[test]
fn standard_input_is_a_source_and_its_end_the_jobs() {
    let folder = Folder::new();
    folder.write(
        "job.toml",
        r#"
        name = "job"
        [sources.words]
        connector = "stdin"
        format = "raw"
        schema = { word = "text" }
        [sinks.out]
        inputs = ["words"]
        connector = "stdout"
        format = "csv"
        "#,
    );
    let mut child = folder
        .command(&["run", "job.toml", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"mill\nstream").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "word\nmill\nstream\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
