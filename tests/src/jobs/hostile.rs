//! Plugins that misbehave: each ends in its defined way, and no good event is lost because of a bad neighbour.

use serde_json::Value;

use crate::harness::{Folder, Ran};

/// Events 0 .. 1000; the operator misbehaves for those of `at` and more.
fn run(folder: &Folder, operator: &str, config: &str, extra: &str) -> Ran {
    run_over(1_000, folder, operator, config, extra)
}

fn run_over(events: u64, folder: &Folder, operator: &str, config: &str, extra: &str) -> Ran {
    let events: String = (0..events).map(|n| format!("{{\"key\":\"k{}\",\"value\":{n}}}\n", n % 7)).collect();
    folder.write("events.jsonl", events);
    folder.write("rules.jsonl", "{\"value\":1}\n{\"value\":2}\n");
    folder.remove("out");
    folder.remove("job.dead-letters.jsonl");
    let more = match operator {
        _ if KEYED.contains(&operator) || operator.starts_with("state-") => "key_by = [\"key\"]",
        _ if operator.starts_with("broadcast-") => "broadcast = [\"rules\"]",
        _ => "",
    };
    let job = format!(
        r#"
        name = "job"
        parallelism = 1
        {extra}
        [sources.events]
        connector = "file"
        path = "events.jsonl"
        format = "json"
        schema = {{ key = "text", value = "i64" }}
        event_time = {{ column = "value", unit = "us" }}

        [operators.bad]
        inputs = ["events"]
        plugin = "plugins/hostile.wasm"
        operator = "{operator}"
        config = {config}
        {more}

        [sinks.out]
        inputs = ["bad"]
        connector = "file"
        path = "out"
        format = "json"
        "#
    );
    folder.run(&job, &[])
}

const KEYED: [&str; 4] = ["group-beyond", "timer-beyond", "timer-twice", "timer-emits"];

/// Those that fail for the last two events only: 998 rows come through, two dead letters say why.
fn only_the_bad_rows_die(operator: &str, reason: &str) {
    only_the_bad_rows_die_with(operator, reason, "");
}

fn only_the_bad_rows_die_with(operator: &str, reason: &str, extra: &str) -> Folder {
    let folder = Folder::new();
    let ran = run(&folder, operator, "{ at = 998 }", extra);
    assert!(ran.success, "{}", ran.stderr);
    assert_eq!(folder.lines("out").len(), 998, "{operator}: good events were lost");
    let letters = folder.dead_letters();
    assert_eq!(letters.len(), 2, "{operator}: {letters:?}");
    for (letter, value) in letters.iter().zip([998, 999]) {
        assert_eq!(letter["node"], "bad");
        assert_eq!(letter["event"]["value"], value);
        assert!(letter["split"].as_str().unwrap().contains("events.jsonl"), "{letter}");
        assert!(letter["offset"].is_u64(), "{letter}");
        let said = letter["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{operator}: {said}");
    }
    folder
}

#[test]
fn a_trap() {
    only_the_bad_rows_die("trap", "it trapped");
}

#[test]
fn a_loop_without_end() {
    let limit = "[limits.plugin]\ncpu_per_call = \"30ms\"\n";
    only_the_bad_rows_die_with("loop", "cpu_per_call", limit);
}

#[test]
fn all_of_the_memory() {
    only_the_bad_rows_die("exhaust-memory", "memory_bytes_max");
}

#[test]
fn all_of_the_stack() {
    only_the_bad_rows_die("overflow-stack", "it trapped");
}

#[test]
fn a_flood() {
    only_the_bad_rows_die("flood", "output_bytes_max");
}

#[test]
fn lies_about_what_was_done() {
    only_the_bad_rows_die("stall", "consumed 0 of");
    only_the_bad_rows_die("overconsume", "consumed");
}

#[test]
fn columns_that_lie() {
    only_the_bad_rows_die("offsets-decrease", "offset");
    only_the_bad_rows_die("offsets-beyond", "offset");
    only_the_bad_rows_die("short-column", "offsets for");
    only_the_bad_rows_die("invalid-utf8", "UTF-8");
    only_the_bad_rows_die("wrong-layout", "not those of text");
    only_the_bad_rows_die("origins-beyond", "origin");
    only_the_bad_rows_die("port-beyond", "port");
    only_the_bad_rows_die("port-twice", "it emitted to port 0 twice");
}

#[test]
fn little_that_would_become_much() {
    let limit = "[limits.plugin]\noutput_bytes_max = \"1MiB\"\n";
    for operator in ["dictionary-of-nulls", "dictionary-of-long", "list-of-nulls", "echo"] {
        only_the_bad_rows_die_with(operator, "output_bytes_max is 1048576", limit);
    }
}

#[test]
fn one_row_a_call_is_slow_and_no_more() {
    let folder = Folder::new();
    // A batch of them: a call within a call for each row would take more stack than a thread has.
    let ran = run_over(8_192, &folder, "nibble", "{ at = 0 }", "");
    assert!(ran.success, "{}", ran.stderr);
    let values =
        folder.lines("out").into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap()["value"].as_u64());
    let mut values: Vec<u64> = values.map(Option::unwrap).collect();
    values.sort_unstable();
    assert!(values == (0..8_192).collect::<Vec<_>>(), "{} rows", values.len());
}

#[test]
fn a_timer_that_emits_what_it_has_not_got() {
    let folder = Folder::new();
    let ran = run(&folder, "timer-emits", "{ at = 998 }", "");
    assert!(ran.success, "{}", ran.stderr);
    assert_eq!(folder.lines("out").len(), 998, "good events were lost");
    let letters = folder.dead_letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    let reason = letter["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("timer `timer` at 1970-01-01T00:00:00Z: output port `main`: a timer cannot emit"),
        "{reason}"
    );
}

#[test]
fn groups_and_timers_that_do_not_exist() {
    only_the_bad_rows_die("group-beyond", "group");
    only_the_bad_rows_die("timer-beyond", "timer");
    only_the_bad_rows_die("state-short", "state");
    only_the_bad_rows_die("state-no-value", "state 1");
    only_the_bad_rows_die("timer-twice", "timer 0 of group 0 twice");
    only_the_bad_rows_die("state-twice", "it returned state 0 twice");
}

#[test]
fn state_that_is_reached_wrongly() {
    only_the_bad_rows_die("state-beyond", "it asked for state 9 of 3");
    only_the_bad_rows_die("state-wrong-kind", "state `map` is a map");
    only_the_bad_rows_die("state-group-beyond", "it asked for group");
    only_the_bad_rows_die("state-lengths", "2 values where there should be 1");
    only_the_bad_rows_die("state-key-type", "variable, not those of i64");
    only_the_bad_rows_die("state-no-element", "an element of a list has no value");
    only_the_bad_rows_die("state-large-value", "state_value_bytes_max is 1048576");
}

#[test]
fn state_before_there_is_a_call() {
    let folder = Folder::new();
    let ran = run(&folder, "state-in-open", "{ at = 0 }", "");
    assert!(ran.error().contains("state is reached within `on-batch` and `on-timers`"), "{}", ran.stderr);
}

/// What is broadcast to operators whose names say so.
const RULES: &str = r#"
        [checkpoints]
        [sources.rules]
        connector = "file"
        path = "rules.jsonl"
        format = "json"
        schema = { value = "i64" }
        event_time = { column = "value", unit = "us" }
"#;

#[test]
fn broadcast_state_that_is_written_for_an_event() {
    let written = "state `kept` is broadcast state: only calls with rows of the broadcast input write it";
    for (operator, reason) in [
        ("broadcast-put", written),
        ("broadcast-remove", written),
        ("broadcast-clear", written),
        ("broadcast-append", "state `kept` is a map: nothing can be appended"),
    ] {
        let folder = only_the_bad_rows_die_with(operator, reason, RULES);
        let scanned = folder.call(&["state", "scan", "job.toml", "bad", "kept", "--json"]);
        let entries = scanned.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone());
        assert_eq!(entries.collect::<Vec<_>>(), [1, 2], "{operator}: {}{}", scanned.stdout, scanned.stderr);
    }
}

#[test]
fn one_percent_of_errors_are_dead_letters_and_the_job_goes_on() {
    let folder = Folder::new();
    let ran = run(&folder, "reject", "{ at = 0, percent = 1 }", "");
    assert!(ran.success, "{}", ran.stderr);
    let letters = folder.dead_letters();
    assert_eq!(letters.len(), 10, "{letters:?}");
}

#[test]
fn nothing_but_errors_fail_the_job() {
    let folder = Folder::new();
    let ran = run(&folder, "reject", "{ at = 0, percent = 100 }", "");
    assert!(ran.error().contains("`bad`") && ran.error().contains("dead_letter_limit"), "{}", ran.stderr);
}

#[test]
fn a_plugin_that_always_traps_fails_the_job() {
    let folder = Folder::new();
    let ran = run(&folder, "trap", "{ at = 0 }", "");
    assert!(ran.error().contains("dead_letter_limit") && ran.error().contains("it trapped"), "{}", ran.stderr);
}
