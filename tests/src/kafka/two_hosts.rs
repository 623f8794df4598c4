//! Two hosts that run the same job, each at whatever place the other one may be: what readers see is the output of one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::cluster::{Cluster, Message};
use super::copy::{QUICK, are_in_order, copy_exactly_once, each_once_and_in_order, messages};
use super::exactly_once::{follow_each_other, is_whole, numbered, straight};
use crate::harness::{Folder, Ran, Running};
use crate::keyed_job::{die_at, finish, finish_fast, go_on, stopped_at};

const HALF: usize = 1_000;

#[test]
fn of_two_hosts_one_stops_and_says_so() {
    let cluster = Cluster::shared();
    let (folder, topic) = (Folder::new(), cluster.topic("hosts", 3));
    folder.write("job.toml", numbered(&cluster.address, &topic));
    // Either may have ended the other's transactions before it was told who runs the job.
    let arguments = ["run", "job.toml", "--set", "restart.strategy=\"fixed-delay\"", "--set", "restart.delay=\"50ms\""];
    let start = || folder.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let hosts = [start(), start()];
    let ran = hosts.map(|host| Ran::from(host.wait_with_output().unwrap()));
    assert!(ran.iter().any(|ran| ran.success), "{} {}", ran[0].stderr, ran[1].stderr);
    for loser in ran.iter().filter(|ran| !ran.success) {
        // Or it could not start again as often as the other one ended its transactions.
        assert!(loser.error().contains("another host has "), "{}", loser.stderr);
    }
    is_whole(&cluster, &topic, "two hosts");
}

#[test]
fn one_that_falls_asleep_in_the_first_start_of_a_job_finds_that_another_has_run_it() {
    let cluster = Cluster::shared();
    for place in ["claim.logged", "claim.after_fence_a"] {
        let (folder, topic) = (Folder::new(), cluster.topic("asleep", 3));
        // Without files, whose names would tell it.
        let job = numbered(&cluster.address, &topic).replace("connector = \"file\"", "connector = \"blackhole\"");
        let job = job.replace("path = \"out\"\n        format = \"json\"", "");
        folder.write("job.toml", job);
        let sleeper = stopped_at(&folder, place, 1);
        finish_fast(&folder, &[]);
        let sleeper = go_on(sleeper);
        assert!(sleeper.error().contains("another host has taken over the job `job`"), "{place}: {}", sleeper.stderr);
        is_whole(&cluster, &topic, place);
    }
}

#[test]
fn what_an_earlier_start_decides_after_a_later_one_is_in_the_log_counts() {
    let cluster = Cluster::shared();
    let expected = straight(&cluster);
    let (folder, topic) = (Folder::new(), cluster.topic("crossed", 3));
    folder.write("job.toml", numbered(&cluster.address, &topic));
    // Both of its claims are decided; it is about to get the ids ready again, which fences whoever has fenced it.
    let earlier = stopped_at(&folder, "claim.commit_sent", 2);
    let later = stopped_at(&folder, "claim.logged", 1);
    let earlier = go_on(earlier);
    assert!(earlier.error().contains("another host has taken over the job `job`"), "{}", earlier.stderr);
    assert!(!cluster.read(&topic).is_empty(), "it has decided on a checkpoint");
    let later = go_on(later);
    assert!(later.success, "{}", later.stderr);
    is_whole(&cluster, &topic, "crossed");
    assert!(folder.lines("out") == expected, "the files are others");
}

#[test]
fn one_that_falls_asleep_before_it_decides_has_decided_nothing_when_it_wakes() {
    let cluster = Cluster::shared();
    let expected = straight(&cluster);
    for place in ["manifest.after", "record.acked"] {
        let (folder, topic) = (Folder::new(), cluster.topic("behind", 3));
        folder.write("job.toml", numbered(&cluster.address, &topic));
        // The claims are records too.
        let sleeper = stopped_at(&folder, place, 5);
        let decided = decisions(&folder);
        // At its own pace: it makes some checkpoints.
        finish(&folder, &[]);
        assert!(decisions(&folder) > decided + 3, "the successor has gone on for some epochs");
        let sleeper = go_on(sleeper);
        assert!(sleeper.error().contains("another host has taken over the job `job`"), "{place}: {}", sleeper.stderr);
        is_whole(&cluster, &topic, place);
        assert!(folder.lines("out") == expected, "{place}: the files are others");
    }
}

/// The number of the last record in the log of the job's decisions.
fn decisions(folder: &Folder) -> u64 {
    let records = fs::read_dir(folder.path().join("job.checkpoints/job/decisions")).unwrap();
    let number = |name: &Path| name.file_stem()?.to_str()?.parse().ok();
    records.filter_map(|record| number(&record.unwrap().path())).max().unwrap()
}

/// Readers of the topic wait until the dead one has been started again, and miss nothing of either.
#[test]
fn of_two_jobs_that_write_to_one_topic_one_dies_before_its_commit() {
    let (cluster, dying, living) = (Cluster::shared(), Folder::new(), Folder::new());
    let (from, to) = (cluster.topic("from", 2), cluster.topic("to", 2));
    dying.write("job.toml", numbered(&cluster.address, &to));
    die_at(&dying, "record.acked", 4, &[]);
    assert!(!cluster.is_decided(&to));

    cluster.send(&from, &messages(0..HALF));
    let copy = copy_exactly_once(&cluster.address, &from, &to, QUICK).replace("\"job\"", "\"other\"");
    let copy = copy.replace("metadata =", "group = \"other\"\n        metadata =");
    let (mut running, _lines) = Running::start_with(&living, &copy, &["-p", "2"]);
    // It decides, and does not know that nobody sees it.
    let decided = || (0..2).map(|partition| cluster.committed("other", &from, partition).unwrap_or(0)).sum::<i64>();
    while decided() < HALF as i64 {
        thread::yield_now();
    }
    running.interrupt();
    assert!(running.succeeded());
    let of_living = |message: &Message| message.key.as_ref().is_some_and(|key| key.len() == 1);
    assert!(cluster.read(&to).iter().filter(|message| of_living(message)).count() < HALF, "it is not seen yet");

    finish_fast(&dying, &[]);
    let (copied, counted): (Vec<Message>, Vec<Message>) = cluster.read(&to).into_iter().partition(of_living);
    are_in_order(&copied, HALF);
    follow_each_other(&counted, &BTreeMap::new(), "the dead one");
    assert!(cluster.is_decided(&to), "a transaction is open");
}

#[test]
fn a_host_that_sleeps_while_another_takes_over_harms_nothing() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let (from, to) = (cluster.topic("from", 2), cluster.topic("to", 2));
    let job = copy_exactly_once(&cluster.address, &from, &to, QUICK);
    cluster.send(&from, &messages(0..HALF));
    let (mut sleeper, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    cluster.wait_for(&to, HALF);
    sleeper.signal(Signal::STOP);
    cluster.send(&from, &messages(HALF..2 * HALF));
    let successor = folder.command(&["run", "job.toml", "-p", "1"]).stderr(Stdio::piped()).spawn().unwrap();
    cluster.wait_for(&to, 2 * HALF);
    sleeper.signal(Signal::CONT);
    assert!(!sleeper.succeeded());
    let said = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(said.contains("another host has taken over the job `job`"), "{said}");
    cluster.send(&from, &messages(2 * HALF..3 * HALF));
    cluster.wait_for(&to, 3 * HALF);
    kill_process(Pid::from_child(&successor), Signal::INT).unwrap();
    let ran = Ran::from(successor.wait_with_output().unwrap());
    assert!(ran.success, "{}", ran.stderr);
    each_once_and_in_order(&cluster, &to, 3 * HALF);
}
