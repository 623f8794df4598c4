//! A host is killed at each point of its conversation with the store, or has a second one beside it.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Folder, Ran};

use super::proxy::{self, Verdict};
use super::server::Bucket;
use super::{assert_exactly_once, job, run};

/// A request, and whether the store gets it before the host dies.
struct Point {
    name: &'static str,
    is_it: fn(&str) -> bool,
    arrives: bool,
}

const POINTS: [Point; 9] = [
    Point { name: "an upload is begun, and no one knows it", is_it: begins_upload, arrives: true },
    Point { name: "an upload is known", is_it: knows_upload, arrives: true },
    Point { name: "a part is there", is_it: puts_part, arrives: true },
    Point { name: "a manifest is not there", is_it: puts_manifest, arrives: false },
    Point { name: "a checkpoint is not decided", is_it: decides, arrives: false },
    Point { name: "a checkpoint is decided", is_it: decides, arrives: true },
    Point { name: "a part is not published", is_it: completes, arrives: false },
    Point { name: "a part is published", is_it: completes, arrives: true },
    Point { name: "what nobody needs any more is deleted", is_it: deletes, arrives: true },
];

fn begins_upload(request: &str) -> bool {
    request.starts_with("POST") && request.contains("/out/") && request.contains("?uploads")
}

fn knows_upload(request: &str) -> bool {
    request.starts_with("PUT") && request.contains("/out/.part-")
}

fn puts_part(request: &str) -> bool {
    request.starts_with("PUT") && request.contains("/out/part-") && request.contains("partNumber=")
}

fn puts_manifest(request: &str) -> bool {
    request.starts_with("PUT") && request.contains("/manifest.json")
}

/// Not the first record, which is the claim.
fn decides(request: &str) -> bool {
    request.starts_with("PUT") && request.contains("/decisions/") && !request.contains("/00000000000000000001.json")
}

fn completes(request: &str) -> bool {
    request.starts_with("POST") && request.contains("/out/part-") && request.contains("?uploadId=")
}

fn deletes(request: &str) -> bool {
    request.starts_with("POST") && request.contains("?delete")
}

fn kill(pid: u32) {
    // It may have ended by itself.
    let _ = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL));
}

#[test]
fn a_host_that_is_killed_anywhere_loses_and_doubles_nothing() {
    for point in POINTS {
        let (bucket, folder) = (Bucket::new(), Folder::new());
        // Slow enough to be at work behind the first checkpoint on a slow machine too.
        folder.write("job.toml", job(&bucket, "", "", "").replace("rate = 40000", "rate = 8000"));
        let pid = Arc::new(AtomicU32::new(0));
        let (seen, decisions) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let victim = Arc::clone(&pid);
        let proxy = proxy::start(bucket.address, move |request| {
            // The first one behind the first checkpoint: there is something to go on from.
            let is_behind = decisions.fetch_add(usize::from(decides(request)), SeqCst) > 0;
            if !is_behind || !(point.is_it)(request) || seen.fetch_add(1, SeqCst) != 0 {
                return Verdict::Forward;
            }
            let victim = Arc::clone(&victim);
            let dies = Box::new(move || kill(victim.load(SeqCst)));
            if point.arrives { Verdict::ForwardThen(dies) } else { Verdict::Instead(dies) }
        });
        let host = run(&folder, proxy).stderr(Stdio::piped()).spawn().unwrap();
        pid.store(host.id(), SeqCst);
        let died = host.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&died.stderr);
        assert_eq!(died.status.signal(), Some(9), "{}: it was never killed: {said}", point.name);

        let again = Ran::from(run(&folder, bucket.address).output().unwrap());
        assert!(again.success, "{}: {}", point.name, again.stderr);
        assert!(again.stderr.contains("going on from checkpoint"), "{}: {}", point.name, again.stderr);
        assert_exactly_once(&bucket, point.name);
    }
}

#[test]
fn of_two_hosts_on_one_job_the_second_takes_over() {
    let (bucket, folder) = (Bucket::new(), Folder::new());
    folder.write("job.toml", job(&bucket, "", "", ""));
    let (decided, is_decided) = mpsc::channel();
    let told = AtomicBool::new(false);
    let proxy = proxy::start(bucket.address, move |request| {
        if decides(request) && !told.swap(true, SeqCst) {
            let decided = decided.clone();
            return Verdict::ForwardThen(Box::new(move || decided.send(()).unwrap()));
        }
        Verdict::Forward
    });
    let first = run(&folder, proxy).stderr(Stdio::piped()).spawn().unwrap();
    is_decided.recv().unwrap();
    let second = Ran::from(run(&folder, bucket.address).output().unwrap());
    assert!(second.success, "{}", second.stderr);
    let first = Ran::from(first.wait_with_output().unwrap());
    assert!(first.error().contains("another host has taken over the job"), "{}", first.stderr);
    assert!(bucket.lines("out/") == super::expected());
    // The first one went on for a while, and what it prepared is swept by whoever starts next.
    let third = Ran::from(run(&folder, bucket.address).output().unwrap());
    assert!(third.success, "{}", third.stderr);
    assert_exactly_once(&bucket, "two hosts");
}
