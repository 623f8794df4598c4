//! Parts of Parquet under kills. Their rows end in row groups, so a checkpoint is not the end of a line of text.

use crate::harness::Folder;
use crate::keyed_job::{FAST, die_at, finish_fast, keyed_events, no_restart, out_of_order};

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
    count = 200000
    rate = 20000
    splits = 4
"#,
    out_of_order!(),
    r#"
    [sinks.out]
    inputs = ["events"]
    connector = "file"
    path = "out"
    format = "parquet"
    row_group_bytes = "64KiB"
    roll_bytes = "256KiB"
"#,
    no_restart!()
);

/// The rows of the parts, as lines.
const READ: &str = r#"
    name = "read"
    [sources.events]
    connector = "file"
    path = "out"
    format = "parquet"
    schema = { key = "text", timestamp = "i64", value = "i64", payload = "bytes" }
    [sinks.read]
    inputs = ["events"]
    connector = "file"
    path = "read"
"#;

#[test]
fn each_row_is_in_one_part_wherever_the_host_dies() {
    let lines = JOB.replace("\"parquet\"\n    row_group_bytes = \"64KiB\"", "\"json\"");
    let expected = Folder::new().rows(&lines, FAST);
    assert_eq!(expected.len(), 200_000);
    for place in
        ["barrier.last_slot", "manifest.before", "decided.before_follow", "decided.mid_follow", "followers.replay"]
    {
        let folder = Folder::new();
        folder.write("job.toml", JOB);
        die_at(&folder, "decided.before_follow", 2, &[]);
        die_at(&folder, place, if place == "followers.replay" { 1 } else { 3 }, &["--set", "parallelism=3"]);
        finish_fast(&folder, &[]);
        folder.write("read.toml", READ);
        let read = folder.call(&["run", "read.toml"]);
        assert!(read.success, "`{place}`: {}", read.stderr);
        assert!(folder.lines("read") == expected, "`{place}`: {} rows", folder.lines("read").len());
    }
}
