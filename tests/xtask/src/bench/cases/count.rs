//! A keyed count, a row for each event: without checkpoints, and with them.

use crate::bench::case::{Case, Subject};
use crate::bench::flink;
use crate::bench::job::Job;
use crate::bench::measure;

use super::{Backend, MEMORY, ROCKSDB, short};

/// Keys, a backend, and so many events for each slot as take half a minute, three checkpoints of every ten seconds.
const SIZES: [(u64, Backend, u64); 4] = [
    (1_000, MEMORY, 300_000_000),
    (1_000_000, MEMORY, 120_000_000),
    (1_000, ROCKSDB, 300_000_000),
    (1_000_000, ROCKSDB, 20_000_000),
];

/// Seconds from checkpoint to checkpoint; 0 = there are none.
const INTERVALS: [u64; 3] = [0, 10, 1];

#[derive(Clone, Copy)]
struct Count {
    keys: u64,
    backend: Backend,
    interval: u64,
    parallelism: u64,
    events: u64,
}

pub fn cases(events: Option<u64>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (keys, backend, per_slot) in SIZES {
        for interval in INTERVALS {
            for parallelism in [1, 2] {
                let events = events.unwrap_or(per_slot * parallelism);
                cases.push(Count { keys, backend, interval, parallelism, events }.case());
            }
        }
    }
    cases
}

impl Count {
    fn case(self) -> Case {
        let Self { keys, backend, interval, parallelism, .. } = self;
        let checkpoints = match interval {
            0 => "no checkpoints".to_owned(),
            1 => "a checkpoint every second".to_owned(),
            interval => format!("a checkpoint every {interval} s"),
        };
        let slots = if parallelism == 1 { "one slot" } else { "two slots" };
        let about = format!("a keyed count: {keys} keys in {}, {checkpoints}, {slots}", backend.name);
        let case = Case::per_core(self.name(), about, self.ours());
        let case = match interval {
            0 => case.against("native", self.native()),
            _ => {
                let without = Self { interval: 0, ..self };
                case.against(without.name(), without.ours())
            }
        };
        let ckpt = interval * 1_000;
        let flink = format!("case=count backend={} ckpt={ckpt} keys={keys} par={parallelism}", backend.flink);
        case.against("flink", flink::generator(flink))
    }

    fn name(&self) -> String {
        let Self { keys, backend, interval, parallelism, .. } = self;
        format!("count.{}.{}.ck{interval}.p{parallelism}", short(*keys), backend.name)
    }

    fn job(&self) -> Job {
        let job = Job::of("count.toml")
            .set("state.backend", self.backend.name)
            .set("sources.events.keys", self.keys)
            .set("sources.events.count", self.events)
            .set("parallelism", self.parallelism);
        if self.backend == ROCKSDB { job.set("state.path", "../../target/bench/state") } else { job }
    }

    fn ours(self) -> Subject {
        Box::new(move |stand| {
            let job = match self.interval {
                0 => self.job(),
                interval => self
                    .job()
                    .set("checkpoints.url", stand.checkpoints().display())
                    .set("checkpoints.interval", format!("{interval}s")),
            };
            let (run, status) = job.run(stand)?;
            status.expect("events", self.events, "nowhere", self.events)?;
            Ok(run.per_core_second(self.events))
        })
    }

    /// With the operator in plain Rust. It checks its totals itself.
    fn native(self) -> Subject {
        Box::new(move |stand| {
            let mut command = stand.native_count();
            self.job().set_on(&mut command);
            Ok(measure::run(&mut command)?.per_core_second(self.events))
        })
    }
}
