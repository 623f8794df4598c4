//! Parquet and lines, from a sink through a store into a source.

use crate::harness::{Folder, Ran};

use super::server::Bucket;
use super::{expected, job, run};

/// Copies what `source` says to JSON lines on this machine.
fn rows_of(bucket: &Bucket, source: &str) -> Result<Vec<String>, String> {
    let folder = Folder::new();
    let text = format!(
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
    );
    folder.write("job.toml", text);
    let ran = Ran::from(run(&folder, bucket.address).output().unwrap());
    if ran.success { Ok(folder.lines("out")) } else { Err(ran.error().to_owned()) }
}

#[test]
fn what_a_sink_has_written_a_source_reads() {
    for (format, ending) in [("parquet\"\nrow_group_bytes = \"64KiB", "parquet"), ("json", "jsonl"), ("csv", "csv")] {
        let (bucket, folder) = (Bucket::new(), Folder::new());
        folder.write("job.toml", job(&bucket, "", &format!("format = \"{format}\""), ""));
        let ran = Ran::from(run(&folder, bucket.address).output().unwrap());
        assert!(ran.success, "{}", ran.stderr);
        let name = format.split('"').next().unwrap();
        for path in ["out", "out/", "out/*", "o*/part-*"] {
            let path = path.trim_end_matches('/');
            let source = format!("format = \"{name}\"\npath = \"s3://{}/{path}\"", bucket.name);
            let rows = rows_of(&bucket, &source).unwrap();
            assert!(rows == expected(), "{name} of {path}: {} rows", rows.len());
        }
        assert!(bucket.keys("out/").iter().all(|key| key.ends_with(ending)));
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
