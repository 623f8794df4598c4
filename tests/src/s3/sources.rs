//! Parquet and lines of sinks, read from the store by sources.

use crate::harness::{Folder, Ran};

use super::server::Bucket;
use super::{expected, job, run};

/// A bucket with the rows as objects of this format under `out`.
fn written(format: &str) -> Bucket {
    let (bucket, folder) = (Bucket::new(), Folder::new());
    folder.write("job.toml", job(&bucket, "", &format!("format = {format}"), ""));
    let ran = Ran::from(run(&folder, bucket.address).output().unwrap());
    assert!(ran.success, "{}", ran.stderr);
    bucket
}

const PARQUET: &str = "\"parquet\"\nrow_group_bytes = \"64KiB\"";

/// Copies what `source` says to JSON lines on this machine.
fn copy(source: &str) -> String {
    format!(
        r#"
        name = "job"
        parallelism = 2
        [sources.events]
        connector = "file"
        schema = {{ key = "text", timestamp = "i64", value = "i64", payload = "bytes" }}
        {source}
        [sinks.out]
        inputs = ["events"]
        connector = "file"
        path = "out"
        "#
    )
}

fn rows_of(bucket: &Bucket, source: &str) -> Result<Vec<String>, String> {
    let folder = Folder::new();
    folder.write("job.toml", copy(source));
    let ran = Ran::from(run(&folder, bucket.address).output().unwrap());
    if ran.success { Ok(folder.lines("out")) } else { Err(ran.error().to_owned()) }
}

#[test]
fn what_a_sink_has_written_a_source_reads() {
    for (name, format, ending) in
        [("parquet", PARQUET, "parquet"), ("json", "\"json\"", "jsonl"), ("csv", "\"csv\"", "csv")]
    {
        let bucket = written(format);
        for path in ["out", "out/", "out/*", "o*/part-*"] {
            let source = format!("format = \"{name}\"\npath = \"s3://{}/{path}\"", bucket.name);
            let rows = rows_of(&bucket, &source).unwrap();
            assert!(rows == expected(), "{name} of {path}: {} rows", rows.len());
        }
        assert!(bucket.keys("out/").iter().all(|key| key.ends_with(ending)));
    }
}

#[test]
fn a_source_of_objects_goes_on_where_its_host_has_died() {
    for (name, format) in [("parquet", PARQUET), ("json", "\"json\"")] {
        let (bucket, folder) = (written(format), Folder::new());
        let source = format!("format = \"{name}\"\nsplit_bytes = \"64KiB\"\npath = \"s3://{}/out\"", bucket.name);
        folder.write("job.toml", format!("checkpoints = {{ interval = \"10ms\" }}{}", copy(&source)));
        let mut host = run(&folder, bucket.address);
        let died = Ran::from(host.env("WASMILL_FAIL_POINT", "decided.before_ack:3").output().unwrap());
        assert!(!died.success, "it has not come to the third checkpoint");
        let again = Ran::from(run(&folder, bucket.address).output().unwrap());
        assert!(again.success && again.stderr.contains("going on from checkpoint 3"), "{}", again.stderr);
        let (rows, expected) = (folder.lines("out"), expected());
        let missing = expected.iter().filter(|row| rows.binary_search(row).is_err()).take(3).collect::<Vec<_>>();
        assert!(rows == expected, "{name}: {} rows, not {}; missing {missing:?}", rows.len(), expected.len());
    }
}

#[test]
fn objects_that_are_not_there_are_named() {
    let bucket = Bucket::new();
    for path in ["none", "none/*.json"] {
        let source = format!("format = \"json\"\npath = \"s3://{}/{path}\"", bucket.name);
        let error = rows_of(&bucket, &source).unwrap_err();
        assert!(error.contains(&format!("s3://{}/{}", bucket.name, path)), "{error}");
    }
}
