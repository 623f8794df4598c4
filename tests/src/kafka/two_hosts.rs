//! Two hosts that run the same job, each at whatever place the other one may be: what readers see is the output of one.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::cluster::Cluster;
use super::copy::{QUICK, copy_exactly_once, each_once_and_in_order, messages};
use super::exactly_once::{is_whole, numbered, straight};
use super::savepoints::first_time;
use crate::harness::{Folder, Ran, Running};
use crate::keyed_job::{finish_fast, go_on, stopped_at, wake};

const HALF: usize = 1_000;

#[test]
fn of_two_hosts_one_stops_and_says_so() {
    let cluster = Cluster::shared();
    for place in ["barrier.last_slot", "record.acked"] {
        let (folder, topic) = (Folder::new(), cluster.topic("hosts", 3));
        folder.write("job.toml", numbered(&cluster.address, &topic));
        // One has begun a checkpoint; the other one takes the job over, and has not made any.
        let first = stopped_at(&folder, place, first_time(place));
        let second = stopped_at(&folder, "barrier.first_slot", 1);
        [&first, &second].into_iter().for_each(wake);
        let [first, second] = [first, second].map(|host| Ran::from(host.wait_with_output().unwrap()));
        // Or it could not start again as often as the other one had ended its transactions.
        assert!(first.error().contains("another host has "), "{place}: {}", first.stderr);
        assert!(second.success, "{place}: {}", second.stderr);
        is_whole(&cluster, &topic, place);
    }
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
