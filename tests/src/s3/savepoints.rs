//! A savepoint in an object store, of state on RocksDB: made there, and gone on from there by the job and by another place.

use crate::harness::{Folder, Ran};
use crate::keyed_job::{FAST, counted, json_files, keyed_events, no_restart, on_rocksdb, out_of_order, totals};
use crate::operations::{Running, makes_rows, say};

use super::run;
use super::server::Bucket;

const JOB: &str = concat!(
    r#"
    name = "job"
    parallelism = 2
    [checkpoints]
    interval = "100ms"
"#,
    keyed_events!(),
    r#"
    keys = 2000
    count = 60000
    rate = 4000
    splits = 1
"#,
    out_of_order!(),
    counted!(),
    totals!(),
    json_files!("out", r#"["count", "totals"]"#),
    no_restart!()
);

#[test]
fn a_savepoint_of_rocksdb_in_an_object_store_is_gone_on_from_by_the_job_and_from_elsewhere() {
    let expected = Folder::new().rows(JOB, FAST);
    let (bucket, folder) = (Bucket::new(), Folder::new());
    let on_s3 = format!("[checkpoints]\n    url = \"s3://{}/checkpoints\"", bucket.name);
    folder.write("job.toml", on_rocksdb(&JOB.replace("[checkpoints]", &on_s3)));
    let running = Running::of(run(&folder, bucket.address).args(["--state-dir", "socket"]));
    makes_rows(&folder, &["--state-dir", "socket"]);
    let to = format!("s3://{}/saved", bucket.name);
    let stop = ["stop", "job.toml", "--state-dir", "socket", "--savepoint", &to];
    assert_eq!(say(&folder, &stop), to);
    assert!(running.end().success());
    let at_the_stop = folder.lines("out").len();
    assert!(at_the_stop > 0 && at_the_stop < expected.len(), "{at_the_stop} rows");

    let elsewhere = Folder::new();
    folder.copy_to(elsewhere.path(), &["out"]);
    elsewhere.write("job.toml", on_rocksdb(JOB));
    let from = [&["--from", &to, "--set", "parallelism=3"], FAST].concat();
    for (place, arguments) in [(&elsewhere, &from[..]), (&folder, FAST)] {
        let ran = Ran::from(run(place, bucket.address).args(arguments).output().unwrap());
        assert!(ran.success && ran.stderr.contains("going on from savepoint"), "{}", ran.stderr);
        assert!(place.lines("out") == expected, "{} rows", place.lines("out").len());
    }
}
