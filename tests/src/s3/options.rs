//! Savepoints of a job that reaches its store by the options in its file, and by nothing else.

use super::server::Bucket;
use super::{SOURCE, expected};
use crate::harness::Folder;
use crate::keyed_job::finish_fast;
use crate::operations::{Running, json, say};

#[test]
fn a_savepoint_elsewhere_in_the_store_is_reached_with_the_options_of_the_checkpoints() {
    let (bucket, folder) = (Bucket::new(), Folder::new());
    let variables = wasmill_s3::environment(bucket.address);
    let options: Vec<String> =
        variables.iter().map(|(name, value)| format!("{} = \"{value}\"", name.to_lowercase())).collect();
    let job = format!(
        r#"
        name = "job"
        parallelism = 2
        [checkpoints]
        url = "s3://{}/checkpoints"
        interval = "1h"
        options = {{ {} }}
        {SOURCE}
        rate = 2000
        [sinks.out]
        inputs = ["events"]
        connector = "file"
        path = "out"
        "#,
        bucket.name,
        options.join(", ")
    );
    folder.write("job.toml", job);
    let running = Running::start(&folder, &[], None);
    running.makes_rows(&folder, &[]);
    say(&folder, &["savepoint", "job.toml"]);
    let elsewhere = format!("s3://{}/mine/first", bucket.name);
    assert_eq!(say(&folder, &["stop", "job.toml", "--savepoint", &elsewhere]), elsewhere);
    assert!(running.end().success());

    let listed = json(&folder, &["checkpoint", "list", "job.toml"]);
    assert_eq!(
        (&listed[0]["kind"], listed.as_array().unwrap().last().unwrap()["is_last"].as_bool()),
        (&"savepoint".into(), Some(true))
    );
    let inspected = json(&folder, &["checkpoint", "inspect", "job.toml", "--checkpoint", "1"]);
    assert_eq!(inspected["kind"], "savepoint");
    // The last decision names it too.
    for from in [&[][..], &["--from", &elsewhere]] {
        let plan = json(&folder, &[&["plan", "job.toml"], from].concat());
        assert_eq!(plan["from"]["path"], *elsewhere, "{plan}");
    }
    let log = finish_fast(&folder, &["--from", &elsewhere]);
    assert!(log.contains("going on from savepoint"), "{log}");
    assert!(folder.lines("out") == expected());
}
