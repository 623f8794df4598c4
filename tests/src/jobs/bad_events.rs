//! Events that are not what the job says: each has its dead letter, and its neighbours do not.

use crate::harness::Folder;

const JOB: &str = r#"
    name = "job"
    dead_letter_limit = "50%"
    [sources.events]
    connector = "file"
    path = "events.jsonl"
    format = "json"
    schema = { ad = "text", cents = "u8", at = "text" }
    event_time = { column = "at" }
    watermark = { out_of_orderness = "0s" }

    [operators.sums]
    inputs = ["events"]
    key_by = ["ad"]
    window = { tumbling = "1m" }
    aggregate = { cents = "sum(cents)" }

    [sinks.out]
    inputs = ["sums"]
    connector = "file"
    path = "out"
    format = "json"

    [sinks.late]
    inputs = ["sums.late"]
    connector = "file"
    path = "late"
    format = "json"
"#;

#[test]
fn bad_events_have_dead_letters_and_good_ones_are_counted() {
    let folder = Folder::new();
    let good = |cents: u32| format!(r#"{{"ad":"a","cents":{cents},"at":"2026-01-01T00:00:05Z"}}"#);
    let bad = [
        (r#"{"ad":"a","cents":"#.to_owned(), "EOF"),
        ("no json".to_owned(), "expected"),
        (r#"{"ad":"a","at":"2026-01-01T00:00:05Z"}"#.to_owned(), "cents"),
        (good(256), "cents"),
        (r#"{"ad":7,"cents":1,"at":"2026-01-01T00:00:05Z"}"#.to_owned(), "ad"),
        (r#"{"ad":"a","cents":1,"at":null}"#.to_owned(), "at"),
        (r#"{"ad":"a","cents":1,"at":"yesterday"}"#.to_owned(), "RFC 3339"),
        (format!("{} trailing", good(1)), "trailing"),
    ];
    let mut lines = vec![good(1)];
    for (line, _) in &bad {
        lines.push(line.clone());
        lines.push(good(2));
    }
    folder.write("events.jsonl", lines.join("\n"));
    let rows = folder.rows(JOB, &["-p", "1"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].contains(&format!("\"cents\":{}", 1 + 2 * bad.len())), "{rows:?}");

    let letters = folder.dead_letters();
    assert_eq!(letters.len(), bad.len(), "{letters:#?}");
    let mut offsets = Vec::new();
    let mut offset = 0;
    for line in &lines {
        offsets.push(offset);
        offset += line.len() as u64 + 1;
    }
    for (number, (line, reason)) in bad.iter().enumerate() {
        let at = offsets[1 + 2 * number];
        let letter = letters
            .iter()
            .find(|letter| letter["offset"] == at)
            .unwrap_or_else(|| panic!("none at {at}: {letters:#?}"));
        let said = letter["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{line}: {said}");
        assert_eq!(letter["node"], "events");
        assert!(letter["split"].as_str().unwrap().contains("events.jsonl"));
        assert!(!letter["event"].is_null(), "{letter}");
    }
}

#[test]
fn late_events_go_to_the_late_port() {
    let folder = Folder::new();
    let event = |second: u32, cents: u32| {
        format!(r#"{{"ad":"a","cents":{cents},"at":"2026-01-01T00:{:02}:{:02}Z"}}"#, second / 60, second % 60)
    };
    // The watermark moves between batches: each event is a batch of its own.
    let lines = [event(10, 1), event(70, 2), event(20, 4), event(130, 8)];
    folder.write("events.jsonl", lines.join("\n"));
    folder.remove("late");
    let job = format!("{JOB}[limits]\nbatch_rows_max = 1\n");
    let rows = folder.rows(&job, &["-p", "1"]);
    assert_eq!(rows.len(), 3, "{rows:?}");
    let late = folder.lines("late");
    assert!(late.len() == 1 && late[0].contains("\"cents\":4"), "{late:?}");
    assert!(folder.dead_letters().is_empty());
}

#[test]
fn windows_keep_to_the_limits_of_keys_and_accumulators() {
    let folder = Folder::new();
    let long = "x".repeat(200);
    let paths = ["/a", "/b", &long, "/c"];
    let lines = paths.map(|path| format!(r#"{{"path":"{path}","hits":1,"at":"2026-01-01T00:00:05Z"}}"#));
    folder.write("events.jsonl", lines.join("\n"));
    let job = r#"
        name = "job"
        parallelism = 1
        dead_letter_limit = "50%"
        [limits.plugin]
        key_bytes_max = 40
        state_value_bytes_max = 120
        [sources.events]
        connector = "file"
        path = "events.jsonl"
        format = "json"
        schema = { path = "text", hits = "i64", at = "text" }
        event_time = { column = "at" }
        [operators.by_path]
        inputs = ["events"]
        key_by = ["path"]
        window = { tumbling = "1m" }
        aggregate = { hits = "sum(hits)" }
        [operators.top]
        inputs = ["events"]
        window = { tumbling = "1m" }
        aggregate = { top = { plugin = "plugins/top-paths.wasm" } }
        [sinks.out]
        inputs = ["by_path", "top"]
        connector = "file"
        path = "out"
        format = "json"
    "#;
    let rows = folder.rows(job, &[]);
    assert_eq!(rows.len(), 4, "{rows:?}");
    let top = rows.iter().find(|row| row.contains("top")).unwrap();
    assert!(["/a", "/b", "/c"].iter().all(|path| top.contains(path)) && !top.contains(&long), "{top}");
    let letters = folder.dead_letters();
    assert_eq!(letters.len(), 2, "{letters:#?}");
    for (node, reason) in
        [("by_path", "its key has 202 bytes; key_bytes_max is 40"), ("top", "bytes; state_value_bytes_max is 120")]
    {
        let letter = letters.iter().find(|letter| letter["node"] == node).unwrap();
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
        assert_eq!(letter["event"]["path"], long.as_str());
    }
}

#[test]
fn files_in_the_wrong_order_are_named_where_an_operator_gives_times() {
    let job = r#"
        name = "job"
        parallelism = 1
        [sources.lines]
        connector = "file"
        path = "*.log"
        format = "raw"
        [operators.requests]
        inputs = ["lines"]
        plugin = "plugins/access-log.wasm"
        event_time = { column = "time" }
        watermark = { out_of_orderness = "2m" }
        [sinks.out]
        inputs = ["requests"]
        connector = "blackhole"
    "#;
    let line = |hour: u32| format!("a - - [17/May/2015:{hour:02}:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n");
    let folder = Folder::new();
    folder.write("1.log", line(10));
    folder.write("2.log", line(11));
    let ordered = folder.run(job, &[]);
    assert!(ordered.success && !ordered.stderr.contains("late, at"), "{}", ordered.stderr);
    folder.write("3.log", line(9));
    let ran = folder.run(job, &[]);
    assert!(ran.success, "{}", ran.stderr);
    for part in ["`requests`", "3.log", "2.log", "late, at 2015-05-17T09:05:03Z", "out_of_orderness"] {
        assert!(ran.stderr.contains(part), "`{part}` is missing in: {}", ran.stderr);
    }
}

#[test]
fn a_source_that_cannot_go_on_says_which_one_it_is() {
    let folder = Folder::new();
    folder.write("events.csv", "ad,price\na,1\n");
    let ran = folder.run(
        &JOB.replace("events.jsonl", "events.csv")
            .replace("format = \"json\"\n    schema", "format = \"csv\"\n    schema"),
        &[],
    );
    let error = ran.error();
    assert!(error.contains("`events`: `") && error.contains("the header has no column"), "{error}");
}
