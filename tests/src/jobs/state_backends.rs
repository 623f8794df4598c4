//! A job does not care where its state is: in memory or in RocksDB, stopped and started again, with other slots.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wasmill::control::environment::HostEnvironment;
use wasmill::control::job::{Job, Options};
use wasmill::model::id::Parallelism;
use wasmill::plan::load::load;

use crate::harness::Folder;

const EVENTS: u64 = 100_000;

/// One split, so that the order of events does not depend on who runs when; caches that hold a hundredth of the state.
const JOB: &str = r#"
    name = "job"
    max_parallelism = 16
    [limits]
    batch_rows_max = 200
    [state]
    backend = "memory"
    [sources.events]
    connector = "generator"
    events = "keyed"
    keys = 5000
    count = 100000
    splits = 1
    event_time = { column = "timestamp", unit = "ms" }
    watermark = { out_of_orderness = "5s" }
    [operators.count]
    inputs = ["events"]
    key_by = ["key"]
    plugin = "plugins/count.wasm"
    [sinks.out]
    inputs = ["count"]
    connector = "file"
    path = "out"
    format = "json"
"#;

const ROCKSDB: &str = r#"
    backend = "rocksdb"
    cache_bytes_max = "8KiB"
    write_buffer_bytes_max = "256KiB"
    block_cache_bytes_max = "256KiB"
"#;

fn on_rocksdb() -> String {
    JOB.replace("    backend = \"memory\"\n", ROCKSDB)
}

#[test]
fn rocksdb_gives_what_memory_gives() {
    let folder = Folder::new();
    let expected = folder.rows(JOB, &["-p", "1"]);
    assert_eq!(expected.len() as u64, EVENTS);
    for parallelism in ["1", "3"] {
        assert!(folder.rows(&on_rocksdb(), &["-p", parallelism]) == expected, "at parallelism {parallelism}");
    }
    assert!(!folder.path().join("job.state").exists(), "the working folder goes with the job");
}

/// Runs the job with so many slots until it has counted `events`, or to its end, and stops it with a checkpoint.
fn run_in_process(folder: &Folder, job: &str, parallelism: u16, events: u64) {
    let path = folder.path().join("job.toml");
    let sets = [format!("parallelism={parallelism}")];
    let plan = load(&path, job, &sets, Parallelism::ONE, &mut HostEnvironment).unwrap_or_else(|e| panic!("{e}"));
    let count = plan.nodes.iter().position(|node| node.uid.as_str() == "count").unwrap();
    let mut job = Job::start(Arc::new(plan), &Options::default()).unwrap();
    let metrics = job.metrics[count].clone();
    let counted = || metrics.iter().map(|slot| slot.records_out.load(Relaxed)).sum::<u64>();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let enough = async {
        while events == EVENTS || counted() < events {
            tokio::task::yield_now().await;
        }
    };
    let ended = runtime.block_on(async {
        let early = tokio::select! { ended = job.end() => Some(ended), () = enough => None };
        match early {
            Some(ended) => ended,
            None => {
                job.stop();
                job.end().await
            }
        }
    });
    ended.unwrap_or_else(|fault| panic!("{fault}"));
}

fn resumed(folder: &Folder, job: &str) -> Vec<String> {
    for (parallelism, events) in [(1, 3000), (1, 4000), (3, 3000), (2, 3000), (1, 1000), (2, EVENTS)] {
        run_in_process(folder, job, parallelism, events);
    }
    let rows = folder.lines("out");
    for name in ["out", "job.checkpoints", "job.state"] {
        folder.remove(name);
    }
    rows
}

#[test]
fn a_job_on_rocksdb_goes_on_from_its_files_and_with_other_slots() {
    let folder = Folder::new();
    let expected = folder.rows(JOB, &["-p", "1"]);
    folder.remove("out");
    for incremental in [true, false] {
        // Often enough that several checkpoints share files.
        let job = format!("{}\n[checkpoints]\ninterval = \"5ms\"\nincremental = {incremental}", on_rocksdb());
        assert!(resumed(&folder, &job) == expected, "incremental = {incremental}");
    }
}

#[test]
fn the_backend_is_changed_through_whole_checkpoints() {
    let folder = Folder::new();
    let expected = folder.rows(JOB, &["-p", "1"]);
    folder.remove("out");
    let checkpoints = "\n[checkpoints]\ninterval = \"1h\"\nincremental = false";
    let (memory, rocksdb) = (format!("{JOB}{checkpoints}"), format!("{}{checkpoints}", on_rocksdb()));
    run_in_process(&folder, &memory, 2, 5000);
    run_in_process(&folder, &rocksdb, 3, 5000);
    run_in_process(&folder, &memory, 1, EVENTS);
    assert!(folder.lines("out") == expected);
}

/// A window of many times the memory that it may take, whose rows go through a channel that holds few of them.
#[test]
fn a_window_larger_than_memory_gives_what_memory_gives() {
    let operators = r#"
    [operators.per_key]
    inputs = ["events"]
    key_by = ["key"]
    window = { tumbling = "1d" }
    aggregate = { n = "count()", total = "sum(value)", last = "max(timestamp)" }
    [operators.per_count]
    inputs = ["per_key"]
    key_by = ["n"]
    window = { tumbling = "1d" }
    aggregate = { keys = "count()", total = "sum(total)", last = "max(last)" }
    [sinks.out]
    inputs = ["per_count"]"#;
    let start = JOB.find("    [operators.count]").unwrap();
    let end = JOB.find("    connector = \"file\"").unwrap();
    let job = [&JOB[..start], operators, "\n", &JOB[end..]].concat();
    let job = job.replace("keys = 5000", "keys = 200000").replace("count = 100000", "count = 400000");
    let job = job.replace("batch_rows_max = 200", "batch_rows_max = 2000\n    channel_bytes_max = \"64KiB\"");
    let rocksdb = job.replace("    backend = \"memory\"\n", ROCKSDB).replace("\"8KiB\"", "\"1MiB\"");
    let folder = Folder::new();
    let expected = folder.rows(&job, &["-p", "1"]);
    assert!(expected.len() > 5, "{expected:?}");
    for parallelism in ["1", "2"] {
        assert!(folder.rows(&rocksdb, &["-p", parallelism]) == expected, "at parallelism {parallelism}");
    }
}

#[test]
fn memory_refuses_rocksdbs_own_files() {
    let folder = Folder::new();
    let checkpoints = "\n[checkpoints]\ninterval = \"1h\"";
    run_in_process(&folder, &format!("{}{checkpoints}", on_rocksdb()), 1, 3000);
    let ran = folder.run(&format!("{JOB}{checkpoints}\n[restart]\nstrategy = \"none\""), &["-p", "1"]);
    assert!(ran.error().contains("RocksDB's own files") && ran.error().contains("backend"), "{}", ran.error());
}

/// The largest file that a process may write stands for the room on a disk.
#[test]
fn a_full_disk_is_told_with_its_folder() {
    let folder = Folder::new();
    let job = on_rocksdb().replace("write_buffer_bytes_max = \"256KiB\"", "write_buffer_bytes_max = \"64MiB\"");
    let job =
        job.replace("connector = \"file\"\n    path = \"out\"\n    format = \"json\"", "connector = \"blackhole\"");
    folder.write("job.toml", job.replace("count = 100000", "count = 3000000").replace("keys = 5000", "keys = 1000000"));
    let program = crate::harness::wasmill();
    let mut command = std::process::Command::new("sh");
    // Blocks of 512 bytes. A process that ignores the signal gets the error.
    command.args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" run job.toml -p 1"]);
    let output = command.arg(program.get_program()).current_dir(folder.path()).output().unwrap();
    let ran = crate::harness::Ran::from(output);
    let error = ran.error();
    assert!(
        error.contains("is full") && error.contains("job.state") && error.contains("`path` of `[state]`"),
        "{error}"
    );
}

#[test]
fn explain_says_where_state_is() {
    let folder = Folder::new();
    folder.write("job.toml", on_rocksdb());
    let ran = folder.call(&["explain", "job.toml"]);
    assert!(ran.stdout.contains("state in rocksdb (") && ran.stdout.contains("job.state"), "{}", ran.stdout);
}
