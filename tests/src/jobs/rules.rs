//! An operator with a broadcast input and without a key: payments under rules, in files that come while it runs. Rules are
//! there long before the payments that they are for, so that it is known which ones hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};
use wasmill::control::environment::HostEnvironment;
use wasmill::control::job::{Job, Options};
use wasmill::model::id::Parallelism;
use wasmill::plan::load::load;

use crate::harness::{Folder, Running};
use crate::keyed_job::die_at;

const JOB: &str = r#"
    name = "job"
    [checkpoints]
    interval = "1h"
    [sources.payments]
    connector = "file"
    path = "payments/*.jsonl"
    format = "json"
    follow = true
    discover_interval = "5ms"
    [sources.rules]
    connector = "file"
    path = "rules/*.jsonl"
    format = "json"
    follow = true
    discover_interval = "5ms"
    [operators.guard]
    inputs = ["payments"]
    broadcast = ["rules"]
    plugin = "plugins/rules.wasm"
    [sinks.out]
    inputs = ["guard"]
    connector = "file"
    path = "out"
    format = "json"
    [sinks.blocked]
    inputs = ["guard.blocked"]
    connector = "file"
    path = "blocked"
    format = "json"
"#;

/// The rows that are to come out of payments under these rules, of which the last of a shop holds: kept and blocked ones.
fn guarded(rules: &[Value], payments: &[Value]) -> [Vec<String>; 2] {
    let limits: BTreeMap<&str, Option<i64>> =
        rules.iter().map(|rule| (rule["shop"].as_str().unwrap(), rule["limit"].as_i64())).collect();
    let [mut kept, mut blocked] = [Vec::new(), Vec::new()];
    for payment in payments {
        let (shop, cents) = (payment["shop"].as_str().unwrap(), payment["cents"].as_i64().unwrap());
        match limits.get(shop).copied().flatten() {
            Some(limit) if cents > limit => {
                blocked.push(json!({ "shop": shop, "cents": cents, "limit": limit }).to_string());
            }
            _ => kept.push(payment.to_string()),
        }
    }
    [kept, blocked]
}

/// What is visible of both, as `guarded` writes it.
fn visible(folder: &Folder) -> [Vec<String>; 2] {
    let row = |line: &String| serde_json::from_str::<Value>(line).unwrap().to_string();
    ["out", "blocked"].map(|sink| folder.lines(sink).iter().map(row).collect())
}

fn write(folder: &Folder, name: &str, rows: &[Value]) {
    folder.write(name, rows.iter().map(|row| format!("{row}\n")).collect::<String>());
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// Runs the job with so many slots until its operator has been given so many rows in all, and stops it.
fn run_until(folder: &Folder, parallelism: u16, rows: u64) {
    let path = folder.path().join("job.toml");
    folder.write("job.toml", JOB);
    let sets = [format!("parallelism={parallelism}")];
    let plan = load(&path, JOB, &sets, Parallelism::ONE, &mut HostEnvironment).unwrap_or_else(|e| panic!("{e}"));
    let guard = plan.nodes.iter().position(|node| node.uid.as_str() == "guard").unwrap();
    let mut job = Job::start(Arc::new(plan), &Options::default()).unwrap();
    let metrics = job.metrics[guard].clone();
    let given = || metrics.iter().map(|slot| slot.records_in.load(Relaxed)).sum::<u64>();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ended = runtime.block_on(async {
        while given() < rows {
            tokio::task::yield_now().await;
        }
        job.stop();
        job.end().await
    });
    ended.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(given(), rows);
}

#[test]
fn every_slot_goes_on_with_what_one_has_left() {
    const SHOPS: usize = 40;
    let folder = Folder::new();
    let shop = |shop: usize| format!("shop{shop}");
    let payments = |seed: usize| -> Vec<Value> {
        (0..400).map(|i| json!({ "shop": shop((i * 7 + seed) % SHOPS), "cents": (i * 31 + seed) % 100 })).collect()
    };
    // A payment that no rule is for, because there must be one.
    let nobody = [json!({ "shop": "nobody", "cents": 1 })];
    write(&folder, "payments/0.jsonl", &nobody);
    let rules: Vec<Value> = (0..SHOPS).map(|i| json!({ "shop": shop(i), "limit": 10 + i })).collect();
    write(&folder, "rules/0.jsonl", &rules);
    run_until(&folder, 1, 1 + SHOPS as u64);

    // Every slot has the copy; rules that change go to each of them.
    write(&folder, "payments/1.jsonl", &payments(1));
    run_until(&folder, 4, 400);
    let changes = [json!({ "shop": shop(3), "limit": null }), json!({ "shop": shop(4), "limit": 0 })];
    write(&folder, "rules/1.jsonl", &changes);
    run_until(&folder, 4, 2 * 4);

    write(&folder, "payments/2.jsonl", &payments(2));
    run_until(&folder, 2, 400);
    let mut expected = guarded(&rules, &[&nobody[..], &payments(1)].concat());
    let changed = guarded(&[&rules[..], &changes].concat(), &payments(2));
    expected.iter_mut().zip(changed).for_each(|(rows, more)| rows.extend(more));
    assert!(expected[1].len() > 300, "{}", expected[1].len());
    assert!(visible(&folder).map(sorted) == expected.map(sorted));
}

/// The job is given its rules, and when all of them are in a checkpoint its payments; each start but the last of either
/// dies at one of `places`.
fn run_guard(rules: &[Value], payments: &[Value], places: &[(&str, u32)]) -> Folder {
    const FILES: usize = 8;
    let (folder, job) = (Folder::new(), JOB.replace("\"1h\"", "\"5ms\""));
    let rows = || ["out", "blocked"].map(|sink| folder.lines(sink).len()).iter().sum::<usize>();
    let die = |folder: &Folder| {
        for ((place, n), slots) in places.iter().zip(["parallelism=1", "parallelism=4", "parallelism=3"]) {
            die_at(folder, place, *n, &["--set", slots]);
        }
    };
    folder.write("job.toml", &job);
    let last = json!({ "shop": "the last one", "limit": 0 });
    write(&folder, "rules/0.jsonl", &[rules, &[last]].concat());
    // There must be a file.
    write(&folder, "payments/0.jsonl", &payments[..1]);
    die(&folder);
    let (running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    let are_covered = || folder.call(&["state", "scan", "job.toml", "guard", "limits"]).stdout.contains("the last one");
    while !are_covered() {}
    // `kill -9`
    drop(running);

    for (number, rows) in (1..).zip(payments[1..].chunks(payments.len().div_ceil(FILES))) {
        write(&folder, &format!("payments/{number}.jsonl"), rows);
    }
    die(&folder);
    let (mut running, _lines) = Running::start_with(&folder, &job, &["-p", "2"]);
    while rows() < payments.len() {}
    // There may have been nothing left to do: then it is still starting.
    while !folder.call(&["stop", "job.toml"]).success {}
    assert!(running.succeeded());
    folder
}

#[test]
fn it_goes_on_where_it_was_killed() {
    let shop = |i: usize| format!("shop{}", i % 40);
    let limit = |i: usize| Some(i * 13 % 90).filter(|_| !i.is_multiple_of(11));
    let rules: Vec<Value> = (0..5_000).map(|i| json!({ "shop": shop(i), "limit": limit(i) })).collect();
    // The first is to have no rule: it is there before them.
    let first = json!({ "shop": "nobody", "cents": 1 });
    let others = (0..200_000).map(|i| json!({ "shop": shop(i * 7), "cents": i * 31 % 100 }));
    let payments: Vec<Value> = [first].into_iter().chain(others).collect();
    let expected = guarded(&rules, &payments).map(sorted);
    assert!(expected.iter().all(|rows| rows.len() > 50_000), "{} kept", expected[0].len());
    for places in [&[][..], &[("manifest.after", 1), ("decided.before_ack", 1), ("upload.middle", 1)]] {
        let folder = run_guard(&rules, &payments, places);
        assert!(visible(&folder).map(sorted) == expected, "{places:?}");
    }
}
