//! A broker that dies and comes back in the middle, and a job that does.

use std::fs;

use wasmill_broker::Broker;

use super::cluster::Cluster;
use super::copy::{QUICK, copy, copy_exactly_once, each_once_and_in_order, messages};
use crate::harness::{Folder, Running};

const HALF: usize = 2_000;

#[test]
fn a_broker_that_restarts_loses_nothing_and_nothing_comes_twice() {
    let mut broker = Broker::start(1).unwrap();
    let cluster = Cluster::of(&broker);
    for copy in [copy, copy_exactly_once] {
        let (folder, from, to) = (Folder::new(), cluster.topic("from", 2), cluster.topic("to", 2));
        cluster.send(&from, &messages(0..HALF));
        let job = copy(&cluster.address, &from, &to, QUICK);
        let (mut running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
        cluster.wait_for(&to, 1);
        broker.kill().unwrap();
        broker.resume().unwrap();
        cluster.send(&from, &messages(HALF..2 * HALF));
        cluster.wait_for(&to, 2 * HALF);
        running.interrupt();
        assert!(running.succeeded());
        each_once_and_in_order(&cluster, &to, 2 * HALF);
    }
}

#[test]
fn a_job_that_is_killed_goes_on_behind_its_last_checkpoint() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let (from, to) = (cluster.topic("from", 2), cluster.topic("to", 2));
    let job = copy(&cluster.address, &from, &to, QUICK) + "[checkpoints]\ninterval = \"25ms\"\n";
    let job = job.replace("metadata =", "group = \"job-group\"\n        metadata =");
    cluster.send(&from, &messages(0..HALF));
    let (running, _lines) = Running::start_with(&folder, &job, &["-p", "1"]);
    cluster.wait_for(&to, HALF);
    // The second from now began when everything had been written.
    let covered = last_checkpoint(&folder) + 2;
    while last_checkpoint(&folder) < covered {
        std::thread::yield_now();
    }
    // Lag tools see how far checkpoints are.
    let lag = || (0..2).map(|partition| cluster.committed("job-group", &from, partition).unwrap_or(0)).sum::<i64>();
    while lag() < HALF as i64 {
        std::thread::yield_now();
    }
    // `kill -9`
    drop(running);
    cluster.send(&from, &messages(HALF..2 * HALF));
    let (running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    cluster.wait_for(&to, 2 * HALF);
    drop(running);
    each_once_and_in_order(&cluster, &to, 2 * HALF);
}

/// The number of the newest complete checkpoint; 0 = there is none.
fn last_checkpoint(folder: &Folder) -> u64 {
    let Ok(decisions) = fs::read_dir(folder.path().join("job.checkpoints/job/decisions")) else { return 0 };
    let numbers = decisions.filter_map(|file| file.ok()?.path().file_stem()?.to_str()?.parse().ok());
    numbers.max().unwrap_or(0)
}
