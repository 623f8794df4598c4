//! A store that answers 500, or not at all: requests are tried again within limits, then the restart strategy decides.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::harness::{Folder, Ran};

use super::proxy::{self, Verdict};
use super::server::Bucket;
use super::{assert_exactly_once, expected, job, run};

const SHORT: &str = r#"options = { max_retries = "1", retry_timeout = "5s", timeout = "1s" }"#;
const RESTARTS: &str = r#"restart = { strategy = "fixed-delay", attempts = 100, delay = "50ms" }"#;

/// Runs the job while the requests that `is_bad` counts are judged so.
fn run_with(job: &str, bucket: &Bucket, verdict: fn() -> Verdict, is_bad: fn(&str, &AtomicUsize) -> bool) -> Ran {
    let folder = Folder::new();
    folder.write("job.toml", job);
    let count = AtomicUsize::new(0);
    let proxy =
        proxy::start(bucket.address, move |request| if is_bad(request, &count) { verdict() } else { Verdict::Forward });
    Ran::from(run(&folder, proxy).output().unwrap())
}

#[test]
fn what_fails_now_and_then_is_tried_again() {
    let bucket = Bucket::new();
    let job = job(&bucket, "", "", "restart = { strategy = \"none\" }");
    let ran = run_with(&job, &bucket, || Verdict::Refuse, |_, count| count.fetch_add(1, SeqCst) % 5 == 4);
    assert!(ran.success, "{}", ran.stderr);
    assert_exactly_once(&bucket, &ran.stderr);
}

#[test]
fn a_sink_whose_store_is_away_for_a_while_goes_on_from_the_last_checkpoint() {
    for verdict in [|| Verdict::Refuse, || Verdict::Hang] {
        let bucket = Bucket::new();
        // The sink's requests 20 to 23 are a request and its retry, of both slots or twice.
        let is_bad = |request: &str, count: &AtomicUsize| {
            request.contains("/out/") && (20..24).contains(&count.fetch_add(1, SeqCst))
        };
        let ran = run_with(&job(&bucket, "", SHORT, RESTARTS), &bucket, verdict, is_bad);
        assert!(ran.success, "{}", ran.stderr);
        assert_exactly_once(&bucket, &ran.stderr);
    }
}

#[test]
fn a_store_of_checkpoints_that_is_away_for_a_while_costs_restarts() {
    for verdict in [|| Verdict::Refuse, || Verdict::Hang] {
        let bucket = Bucket::new();
        let is_bad = |request: &str, count: &AtomicUsize| {
            request.contains("/checkpoints/") && (20..24).contains(&count.fetch_add(1, SeqCst))
        };
        let ran = run_with(&job(&bucket, SHORT, "", RESTARTS), &bucket, verdict, is_bad);
        assert!(ran.success, "{}", ran.stderr);
        assert_exactly_once(&bucket, &ran.stderr);
    }
}

#[test]
fn a_store_that_stays_away_ends_a_job_that_may_not_restart() {
    let bucket = Bucket::new();
    let job = job(&bucket, "", SHORT, "restart = { strategy = \"none\" }");
    let is_bad = |request: &str, count: &AtomicUsize| request.contains("?uploads") && count.fetch_add(1, SeqCst) >= 8;
    let ran = run_with(&job, &bucket, || Verdict::Refuse, is_bad);
    let error = ran.error();
    assert!(error.contains("`out`: cannot ") && error.contains(&format!("s3://{}/out/part-", bucket.name)), "{error}");
    let mut expected = expected().iter();
    let is_there = |row: &String| expected.by_ref().any(|other| other == row);
    assert!(bucket.lines("out/").iter().all(is_there), "what is visible is there once");
}
