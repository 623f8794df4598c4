//! What checkpoints of much state cost, and how long it takes to go on from one.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bench::case::{Better, Case, Figure, Sample, Subject};
use crate::bench::flink;
use crate::bench::job::{Checkpoint, Job, Status};
use crate::bench::live::Live;
use crate::bench::measure::median;
use crate::bench::stand::Stand;

use super::{Backend, MEMORY, ROCKSDB, short};

/// Of a checkpoint: its bytes are those that were written for it. The longest step of any slot while it was made.
const CHECKPOINT: &[Figure] = &[
    Figure { name: ".duration", unit: "ms", better: Better::Less },
    Figure { name: ".bytes", unit: "MB", better: Better::Less },
    Figure { name: ".pause", unit: "ms, the longest", better: Better::Less },
];
/// From the start of the process until the first event has left the job.
const RECOVERY: &[Figure] = &[Figure { name: "", unit: "ms", better: Better::Less }];

/// That are complete after the state is there and do not count: the first may still be of its making.
const COLD: u64 = 2;
const CHECKPOINTS: u64 = 5;
const RECOVERIES: u32 = 3;

#[derive(Clone, Copy)]
struct Durable {
    keys: u64,
    backend: Backend,
    incremental: bool,
}

pub fn cases(events: Option<u64>) -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [1_000_000, 10_000_000] {
        let keys = events.unwrap_or(size);
        for backend in [MEMORY, ROCKSDB] {
            for incremental in [false, true] {
                cases.push(Durable { keys, backend, incremental }.checkpoint(size));
            }
        }
        for backend in [MEMORY, ROCKSDB] {
            cases.push(Durable { keys, backend, incremental: true }.recovery(size));
        }
    }
    cases
}

impl Durable {
    fn checkpoint(self, size: u64) -> Case {
        let Self { keys, backend, incremental } = self;
        let kind = if incremental { "incremental" } else { "full" };
        let about = format!(
            "{kind} checkpoints of {size} keys with 100 bytes each in {}, 50,000 updates a second",
            backend.name
        );
        let flink = Box::new(move |stand: &_| {
            let (checkpoints, failures) = (u32::try_from(COLD + CHECKPOINTS)?, 0);
            let result =
                flink::Checkpoints { keys, backend: backend.flink, incremental, checkpoints, failures }.run(stand)?;
            let figures = vec![flink::median(&result["ckpt_ms"]), result["checkpointed_mb"].as_f64(), None];
            Ok(Sample { figures, rss_mb: result["rss_mb"].as_f64().unwrap_or(f64::NAN) })
        });
        let name = format!("checkpoint.{}.{}.{kind}", short(size), backend.name);
        Case::measured(name, about, CHECKPOINT, self.checkpoints()).against("flink", flink)
    }

    fn recovery(self, size: u64) -> Case {
        let Self { keys, backend, .. } = self;
        let about = format!(
            "from kill -9 of {size} keys in {}: from the start of the process to its first event (Flink: inside a process)",
            backend.name
        );
        let incremental = backend == ROCKSDB;
        let flink = Box::new(move |stand: &_| {
            let (checkpoints, failures) = (3, RECOVERIES);
            let result =
                flink::Checkpoints { keys, backend: backend.flink, incremental, checkpoints, failures }.run(stand)?;
            let figures = vec![flink::median(&result["recovery_ms"])];
            Ok(Sample { figures, rss_mb: result["rss_mb"].as_f64().unwrap_or(f64::NAN) })
        });
        let name = format!("recovery.{}.{}", short(size), backend.name);
        Case::measured(name, about, RECOVERY, self.recoveries()).against("flink", flink)
    }

    fn job(&self, stand: &Stand) -> Job {
        Job::of("checkpoint.toml")
            .set("sources.events.keys", self.keys)
            .set("state.backend", self.backend.name)
            .set("checkpoints.url", stand.checkpoints().display())
            .set("checkpoints.incremental", self.incremental)
            .set("parallelism", 2)
    }

    fn checkpoints(self) -> Subject {
        Box::new(move |stand| {
            stand.forget_checkpoints()?;
            let job = self.job(stand);
            let mut live = Live::start(stand, &job)?;
            let first = self.filled(&mut live)? + COLD + 1;
            let last = first + CHECKPOINTS - 1;
            live.wait_until("its checkpoints were made", |status| Ok(status.completed_checkpoints() >= last))?;
            let (status, rss_mb) = live.stop()?;
            self.expect_replaced(&status, self.keys)?;
            let made = status.checkpoints(first, last)?;
            ensure!(made.len() as u64 == CHECKPOINTS, "the job remembers {} of {CHECKPOINTS} checkpoints", made.len());
            let median_of = |of: fn(&Checkpoint) -> f64| Some(median(made.iter().map(of)));
            let longest = made.iter().map(|made| made.longest_pause_ms).fold(0.0, f64::max);
            let figures = vec![median_of(|made| made.duration_ms), median_of(|made| made.written_mb), Some(longest)];
            Ok(Sample { figures, rss_mb })
        })
    }

    fn recoveries(self) -> Subject {
        Box::new(move |stand| {
            stand.forget_checkpoints()?;
            let job = self.job(stand);
            let mut live = Live::start(stand, &job)?;
            let wanted = self.filled(&mut live)? + COLD;
            live.wait_until("a checkpoint was made", |status| Ok(status.completed_checkpoints() >= wanted))?;
            live.kill()?;
            let (mut taken, mut rss_mb): (Vec<Duration>, _) = (Vec::new(), f64::NAN);
            for recovery in 1..=RECOVERIES {
                let mut live = Live::start(stand, &job)?;
                taken.push(live.first_line()?);
                if recovery < RECOVERIES {
                    live.kill()?;
                } else {
                    // The others are like this one: every key that it was asked for was there.
                    let (status, used) = live.stop()?;
                    self.expect_replaced(&status, 0)?;
                    rss_mb = used;
                }
            }
            Ok(Sample::one(median(taken.iter().map(Duration::as_secs_f64)) * 1e3, rss_mb))
        })
    }

    /// Waits until every key has its value; how many checkpoints had been made then.
    fn filled(self, live: &mut Live<'_>) -> Result<u64> {
        let all = |status: &Status| Ok(status.records_in("kept")? >= self.keys);
        Ok(live.wait_until("every key had its value", all)?.completed_checkpoints())
    }

    /// Whether all updates but so many found a value to replace.
    fn expect_replaced(self, status: &Status, new: u64) -> Result<()> {
        let (updates, replaced) = (status.records_in("kept")?, status.records_out("kept")?);
        ensure!(updates - replaced == new, "{updates} updates replaced {replaced} values: {new} should have been new");
        ensure!(replaced > 0, "nothing was updated");
        status.expect_no_losses()
    }
}
