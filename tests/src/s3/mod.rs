//! Jobs on a real object store: their checkpoints, their sinks and their sources.

mod faults;
mod kills;
mod proxy;
mod savepoints;
mod server;
mod sources;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::Folder;

use server::Bucket;

const EVENTS: usize = 40_000;

/// Passes generated events to `out`; more settings of the checkpoints, the sink and the job.
fn job(bucket: &Bucket, checkpoints: &str, sink: &str, more: &str) -> String {
    let name = &bucket.name;
    format!(
        r#"
        name = "job"
        parallelism = 2
        {more}
        [checkpoints]
        url = "s3://{name}/checkpoints"
        interval = "100ms"
        {checkpoints}
        {SOURCE}
        rate = 40000
        [sinks.out]
        inputs = ["events"]
        connector = "file"
        path = "s3://{name}/out"
        roll_bytes = "512KiB"
        {sink}
        "#
    )
}

const SOURCE: &str = r#"
        [sources.events]
        connector = "generator"
        events = "keyed"
        splits = 2
        count = 40000
"#;

/// The rows that must come, each once.
fn expected() -> &'static [String] {
    static ROWS: OnceLock<Vec<String>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let job = format!(
            "name = \"job\"\n{SOURCE}\n[sinks.out]\ninputs = [\"events\"]\nconnector = \"file\"\npath = \"out\"\n"
        );
        let rows = Folder::new().rows(&job, &[]);
        assert_eq!(rows.len(), EVENTS);
        rows
    })
}

/// Runs `job.toml` of the folder with an object store at this address.
fn run(folder: &Folder, store: SocketAddr) -> Command {
    let mut command = folder.command(&["run", "job.toml"]);
    command.envs(wasmill_s3::environment(store));
    command
}

/// Every row is there once, and nothing else is left of the sink.
fn assert_exactly_once(bucket: &Bucket, what: &str) {
    let rows = bucket.lines("out/");
    assert!(rows == expected(), "{what}: {} rows instead of {EVENTS}", rows.len());
    let hidden: Vec<String> = bucket.keys("out/").into_iter().filter(|key| key.contains("/.")).collect();
    assert!(hidden.is_empty() && bucket.uploads().is_empty(), "{what}: left are {hidden:?}, {:?}", bucket.uploads());
}
