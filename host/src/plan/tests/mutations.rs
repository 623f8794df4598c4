//! No text makes the planner panic: valid jobs with pieces cut, doubled, swapped and replaced.

use proptest::prelude::*;

use super::outcome;

const JOB: &str = r#"name = "all"
parallelism = 2
dead_letter_limit = "1%"
dead_letters = { path = "dead.jsonl" }
[limits]
flush_interval = "10ms"
batch_bytes_max = "512KiB"
plugin = { cpu_per_call = "1s", trusted = false }
[sources.clicks]
connector = "file"
path = "clicks/*.jsonl"
format = "csv"
delimiter = ";"
event_time = { column = "timestamp", unit = "ms" }
watermark = { out_of_orderness = "5s", idle_timeout = "30s" }
[sources.keyed]
connector = "generator"
events = "keyed"
count = 1000
event_time = { column = "timestamp", unit = "ms" }
[operators.paid]
inputs = [{ from = "clicks", exchange = "rebalance" }]
plugin = "clicks.wasm"
operator = "paid-click"
config = { min_cents = 5, list = [1, 2.5, "x"] }
[operators.per_user]
inputs = ["paid.main"]
key_by = ["user_id"]
window = { sliding = "5m", slide = "1m", allowed_lateness = "1m", offset = "1s" }
aggregate = { clicks = "count()", spent = "sum(cents)", quality = { plugin = "clicks.wasm", operator = "spread" } }
[operators.users]
inputs = ["paid"]
key_by = ["user_id"]
plugin = "clicks.wasm"
operator = "count-user"
[sinks.out]
inputs = ["per_user", "users", "paid.rejected", "per_user.late"]
connector = "file"
path = "out/"
format = "json"
[sinks.none]
inputs = ["keyed"]
connector = "blackhole"
"#;

#[test]
fn the_job_is_good() {
    outcome(JOB, &[]).unwrap();
}

const PIECES: [&str; 24] = [
    "",
    "\"",
    "=",
    "[",
    "]",
    "{",
    "}",
    ".",
    "\n",
    "é",
    "\u{0}",
    "-1",
    "99999999999999999999",
    "1e999",
    "nan",
    "[1]",
    "{ a = 1 }",
    "\"\"",
    "\"0s\"",
    "\"clicks\"",
    "2020-01-01",
    "true",
    "[[sinks]]",
    "'''",
];

/// A token, or a run of other characters, as byte ranges.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        tokens.push(&rest[..end]);
        rest = &rest[end..];
    }
    tokens
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_tokens_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8, 0..PIECES.len()), 1..5)) {
        let mut list = tokens(JOB);
        for (at, other, change, piece) in changes {
            let (at, other) = (at.index(list.len()), other.index(list.len()));
            match change {
                0 => list[at] = PIECES[piece],
                1 => list.swap(at, other),
                2 => list[at] = list[other],
                _ => { list.drain(at.min(other)..at.max(other).min(at.min(other) + 30)); }
            }
            if list.is_empty() {
                list.push("x");
            }
        }
        let _ = outcome(&list.concat(), &[]);
    }

    #[test]
    fn changed_lines_never_panic(swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..6)) {
        let mut lines: Vec<&str> = JOB.lines().collect();
        for (a, b, remove) in swaps {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            if remove { lines.remove(a); } else { lines[a] = lines[b]; }
        }
        let _ = outcome(&lines.join("\n"), &[]);
    }

    #[test]
    fn any_override_never_panics(set in "[a-z.=\\[\\]{}\"0-9 ]{0,20}", path in prop::sample::select(vec!["sources.clicks.", "operators.per_user.window.", "limits.plugin.", ""])) {
        let _ = outcome(JOB, &[format!("{path}{set}")]);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = 100_000;
    for text in [
        format!("x = {}", "[".repeat(deep)),
        format!("{}x = 1", "a.".repeat(deep)),
        format!("[{}a]", "a.".repeat(deep)),
        format!("x = {}", "{ a = ".repeat(deep)),
        format!("x = {}{}", "[".repeat(60), "]".repeat(60)),
    ] {
        outcome(&text, &[]).unwrap_err();
    }
    outcome(JOB, &[format!("{}=1", "a.".repeat(deep)), format!("x={}", "[".repeat(deep))]).unwrap_err();
}
