//! Jobs that die and go on: killed at every place between two effects, with other numbers of slots, two hosts at once.
//! The output is always that of a run in which nothing happens.

use std::sync::OnceLock;

use wasmill::model::fail_point::FAIL_POINTS;

use crate::harness::{Folder, Ran};
use crate::keyed_job::{
    FAST, counted, die_at, finish, finish_fast, json_files, keyed_events, met_again, no_restart, out_of_order,
    stopped_at, totals, wake,
};

/// Paced, so that a host that is to die at one of its checkpoints does not come to the end before, however slow the
/// machine; `finish_fast` lets go of the rate.
const JOB: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "25ms"
"#,
    keyed_events!(),
    r#"
    keys = 500
    count = 1800000
    rate = 200000
    per_milli = 30
    splits = 4
"#,
    out_of_order!(),
    counted!(),
    r#"
    [operators.windows]
    inputs = ["count"]
    key_by = ["key"]
    window = { sliding = "10s", slide = "5s" }
    aggregate = { n = "count()", most = "max(value)" }
"#,
    totals!(),
    json_files!("out", r#"["windows"]"#),
    r#"
    [sinks.sums]
    inputs = ["totals"]
    connector = "file"
    path = "sums"
    format = "csv"
"#,
    no_restart!()
);

/// What is visible in both sinks.
fn rows(folder: &Folder) -> Vec<String> {
    [folder.lines("out"), folder.lines("sums")].concat().into_iter().filter(|line| !line.starts_with("key,")).collect()
}

/// What a job shows when nothing happens to it.
fn straight_of(job: &str) -> Vec<String> {
    let folder = Folder::new();
    let ran = folder.run(&job.replace("\"25ms\"", "\"1h\""), FAST);
    assert!(ran.success, "{}", ran.stderr);
    let rows = rows(&folder);
    assert!(rows.len() > 5_000, "{}", rows.len());
    rows
}

fn straight() -> &'static [String] {
    static ROWS: OnceLock<Vec<String>> = OnceLock::new();
    ROWS.get_or_init(|| straight_of(JOB))
}

#[test]
fn wherever_it_dies_it_goes_on_as_if_nothing_had_happened() {
    let expected = straight();
    for place in FAIL_POINTS {
        let folder = Folder::new();
        folder.write("job.toml", JOB);
        // At the second checkpoint there is one to go on from; what happens at a start happens at the next one.
        die_at(&folder, "decided.before_follow", 1, &[]);
        let is_of_starts = ["claim.before", "claim.after", "followers.replay", "restore.middle"].contains(&place);
        die_at(&folder, place, if is_of_starts { 1 } else { 2 }, &[]);
        finish_fast(&folder, &[]);
        let rows = rows(&folder);
        assert!(rows == expected, "`{place}`: {} rows, not {}", rows.len(), expected.len());
    }
}

#[test]
fn a_job_that_fails_starts_again_in_the_same_process() {
    let expected = straight();
    let job = JOB.replace("strategy = \"none\"", "strategy = \"fixed-delay\"\nattempts = 1\ndelay = \"1ms\"");
    let job = job.replace("rate = 200000", "rate = 800000");
    for place in ["barrier.first_slot", "upload.middle", "manifest.after", "decided.before_follow", "gc.middle"] {
        let folder = Folder::new();
        folder.write("job.toml", &job);
        let mut command = folder.command(&["run", "job.toml"]);
        let ran = Ran::from(command.env("WASMILL_FAIL_POINT", format!("{place}:2:panic")).output().unwrap());
        assert!(ran.success && ran.stderr.contains("starts again in"), "`{place}`: {}", ran.stderr);
        assert!(rows(&folder) == expected, "`{place}`");
    }
    // Without a strategy it has failed.
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    let mut command = folder.command(&["run", "job.toml"]);
    let ran = Ran::from(command.env("WASMILL_FAIL_POINT", "barrier.first_slot:1:panic").output().unwrap());
    assert!(ran.error().contains("the fail point `barrier.first_slot` was reached"), "{}", ran.stderr);
}

#[test]
fn the_number_of_slots_may_change_from_start_to_start() {
    let expected = straight();
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=1"]);
    die_at(&folder, "decided.before_ack", 2, &["--set", "parallelism=4"]);
    finish_fast(&folder, &["--set", "parallelism=2"]);
    let rows = rows(&folder);
    assert!(rows == expected, "{} rows, not {}", rows.len(), expected.len());
}

/// The sources are faster than what follows, so that channels are full when a barrier comes.
#[test]
fn events_that_a_barrier_has_overtaken_are_not_lost() {
    let expected = straight();
    let job = JOB.replace("interval = \"25ms\"", "interval = \"25ms\"\n    unaligned_after = \"0s\"");
    let job = job.replace(
        "[checkpoints]",
        "[limits]\n    batch_rows_max = 100\n    channel_bytes_max = \"20KiB\"\n    [checkpoints]",
    );
    let mut in_flight = false;
    for n in 1..3 {
        let folder = Folder::new();
        folder.write("job.toml", &job);
        die_at(&folder, "decided.before_follow", 1, &[&["--set", "parallelism=4"], FAST].concat());
        let inspected = folder.call(&["checkpoint", "inspect", "job.toml"]);
        in_flight |= inspected.stdout.contains("events in flight");
        die_at(&folder, "decided.before_ack", n, &[&["--set", "parallelism=3"], FAST].concat());
        finish_fast(&folder, &["--set", "parallelism=1"]);
        let rows = rows(&folder);
        assert!(rows == expected, "{n}: {} rows, not {}", rows.len(), expected.len());
    }
    assert!(in_flight, "nothing was in flight");
}

/// `met` reads what `firsts` reads, and what that makes of it: with several slots it is in the task of `firsts`, and what
/// comes from `count` at once comes by a channel within each slot. The same of `both` and the source.
const MEETING: &str = concat!(
    r#"
    name = "job"
    [limits]
    batch_rows_max = 100
    channel_bytes_max = "20KiB"
    [checkpoints]
    interval = "25ms"
    unaligned_after = "0s"
"#,
    keyed_events!(),
    r#"
    keys = 200
    count = 400000
    per_milli = 30
    splits = 4
"#,
    out_of_order!(),
    counted!(),
    met_again!(),
    json_files!("out", r#"["steps"]"#),
    json_files!("sums", r#"["events", "firsts"]"#),
    no_restart!()
);

/// Each number of each key comes once, and behind the one before it.
#[test]
fn streams_that_meet_again_lose_no_event_and_no_order() {
    let expected = straight_of(MEETING);
    let out_of_order = expected.iter().filter(|row| row.contains("false")).count();
    assert_eq!((expected.len(), out_of_order), (2 * (400_000 + 200), 200), "those of `firsts` follow nothing");
    let mut in_flight = false;
    for _ in 0..3 {
        let folder = Folder::new();
        folder.write("job.toml", MEETING);
        for (place, parallelism) in [("decided.before_follow", 2), ("decided.before_ack", 1), ("decided.before_ack", 3)]
        {
            die_at(&folder, place, 1, &["--set", &format!("parallelism={parallelism}")]);
            let inspected = folder.call(&["checkpoint", "inspect", "job.toml"]);
            in_flight |= inspected.stdout.contains("events in flight");
        }
        finish(&folder, &["--set", "parallelism=2"]);
        let rows = rows(&folder);
        let lost = expected.len().abs_diff(rows.len());
        let swapped = rows.iter().filter(|row| row.contains("false")).count().abs_diff(out_of_order);
        assert!(rows == expected, "{lost} rows too few or too many, {swapped} in another order");
    }
    assert!(in_flight, "nothing was in flight");
}

/// A part of the events in the same time.
fn smaller(job: &str) -> String {
    job.replace("1800000", "180000").replace("per_milli = 30", "per_milli = 3").replace("rate = 200000", "rate = 20000")
}

/// The same job with so little memory that nearly all of its state is in RocksDB.
fn on_rocksdb(incremental: bool) -> String {
    let state = r#"[state]
    backend = "rocksdb"
    cache_bytes_max = "4KiB"
    write_buffer_bytes_max = "256KiB"
    block_cache_bytes_max = "256KiB"
    [checkpoints]
    incremental = "#;
    smaller(JOB).replace("[checkpoints]", &format!("{state}{incremental}"))
}

#[test]
fn windows_larger_than_memory_go_on_with_other_slots() {
    let expected = straight_of(&smaller(JOB));
    for incremental in [true, false] {
        let folder = Folder::new();
        folder.write("job.toml", on_rocksdb(incremental));
        // The first barrier after a start comes while there is input, however busy the machine is.
        for parallelism in ["parallelism=1", "parallelism=1", "parallelism=4"] {
            die_at(&folder, "decided.before_ack", 1, &["--set", parallelism]);
        }
        finish_fast(&folder, &["--set", "parallelism=2"]);
        let rows = rows(&folder);
        assert!(rows == expected, "incremental = {incremental}: {} rows, not {}", rows.len(), expected.len());
    }
}

#[test]
fn windows_go_from_one_backend_to_the_other() {
    let expected = straight_of(&smaller(JOB));
    let folder = Folder::new();
    let memory = smaller(JOB).replace("[checkpoints]", "[checkpoints]\n    incremental = false");
    for job in [&memory, &on_rocksdb(false), &memory, &on_rocksdb(false)] {
        folder.write("job.toml", job);
        die_at(&folder, "decided.before_ack", 1, &[]);
    }
    finish_fast(&folder, &[]);
    assert!(rows(&folder) == expected);
}

#[test]
fn of_two_hosts_that_run_a_job_one_stops_and_says_so() {
    let expected = straight();
    for place in ["barrier.last_slot", "upload.middle", "manifest.after"] {
        let folder = Folder::new();
        folder.write("job.toml", JOB.replace("rate = 200000", "rate = 800000"));
        // Both are in the middle of a checkpoint; the second one has claimed the job.
        let first = stopped_at(&folder, place, 2);
        let second = stopped_at(&folder, "barrier.first_slot", 1);
        [&first, &second].into_iter().for_each(wake);
        let [first, second] = [first, second].map(|host| Ran::from(host.wait_with_output().unwrap()));
        assert!(first.error().contains("another host has taken over"), "`{place}`: {}", first.stderr);
        assert!(second.success, "`{place}`: {}", second.stderr);
        assert!(rows(&folder) == expected, "`{place}`");
    }
}

#[test]
fn a_job_that_lost_its_state_would_be_noticed() {
    let folder = Folder::new();
    folder.write("job.toml", JOB);
    die_at(&folder, "decided.before_ack", 2, &[]);
    let error = |job: &str, arguments: &[&str]| folder.run(job, arguments).error().to_owned();

    let removed =
        JOB.replace("[operators.totals]", "[operators.sums_of_counts]").replace("[\"totals\"]", "[\"sums_of_counts\"]");
    let message = error(&removed, &[]);
    assert!(
        message.contains("`totals`: windows is dropped") && message.contains("--allow-non-restored-state"),
        "{message}"
    );
    let message = error(&JOB.replace("tumbling = \"1h\"", "tumbling = \"2h\""), &[]);
    assert!(message.contains("`totals`: windows cannot be taken over: its windows have another size"), "{message}");
    let message = error(&JOB.replace("name = \"job\"", "name = \"job\"\nmax_parallelism = 64"), &[]);
    assert!(message.contains("128 key groups"), "{message}");
    let message = error(JOB, &["--from", "job.checkpoints/none"]);
    assert!(message.contains("there is no checkpoint"), "{message}");
    let message = error(JOB, &["--fresh"]);
    assert!(message.contains("is there from an earlier run"), "{message}");
}

/// A checkpoint of format 1 with a job's state, its windows, positions and parts that are not committed yet. It must load
/// for ever: made by `KEEP=<folder> cargo xtask test a_checkpoint_of_format_1`, it is never made again.
#[test]
fn a_checkpoint_of_format_1_loads() {
    let job = JOB
        .replace("keys = 500", "keys = 5")
        .replace("1800000", "3000")
        .replace("per_milli = 30", "per_milli = 1")
        .replace("200000", "2000");
    let folder = Folder::new();
    folder.write("job.toml", &job);
    if let Ok(keep) = std::env::var("KEEP") {
        die_at(&folder, "decided.before_follow", 2, &[]);
        folder.copy_to(std::path::Path::new(&keep), &["job.toml", "job.checkpoints", "out", "sums"]);
        return;
    }
    folder.copy_from(&crate::harness::repository().join("tests/data/checkpoint-1"));
    finish(&folder, &[]);
    let rows = rows(&folder);
    folder.remove("job.checkpoints");
    folder.remove("out");
    folder.remove("sums");
    finish(&folder, &[]);
    assert!(rows.len() > 10 && rows == self::rows(&folder), "{rows:?}");
}
