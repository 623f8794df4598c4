//! How a job survives: its checkpoints, and what happens when it fails. Checked settings; `spec::fault_tolerance` reads
//! them.

use super::location::Location;
use crate::model::time::Micros;

use super::connector::KafkaCluster;

/// `[checkpoints]`: a job without them loses what it remembers when it stops.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointPlan {
    /// A folder, or the URL of an object store: the job's own place in it is `<url>/<job name>`.
    pub location: Location,
    /// From the start of one checkpoint to the start of the next.
    pub interval: Micros,
    /// From the end of one checkpoint to the start of the next, at least.
    pub min_pause: Micros,
    /// A checkpoint that is not complete after this has failed.
    pub timeout: Micros,
    /// A barrier that a task has waited for so long goes on before the events that are in flight.
    pub unaligned_after: Option<Micros>,
    /// So many checkpoints in a row may fail; one more fails the job.
    pub tolerated_failures: u32,
    /// Complete checkpoints that are kept.
    pub retained: usize,
    /// Write what has changed since the last complete checkpoint, where a state's backend can.
    pub is_incremental: bool,
    /// Those that sinks write in: then a checkpoint whose barrier is under way is not given up. `None` = no sink does.
    pub transactions: Option<TransactionPlan>,
}

/// The transactions that all sinks of a job share which deliver exactly once.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionPlan {
    pub cluster: KafkaCluster,
    /// After this the brokers abort one that was not committed; until then it holds up readers of its topics.
    pub timeout: Micros,
    /// Of messages that the brokers have not acknowledged yet, for each of the two producers.
    pub queue_bytes_max: u64,
}

impl CheckpointPlan {
    /// How long a transaction may take: it begins behind a barrier, then that checkpoint becomes complete, the next one
    /// is begun and becomes complete, and half a minute is for the commit.
    pub fn transaction_length(&self) -> Micros {
        const COMMIT: Micros = Micros(30_000_000);
        let pause = self.interval.max(self.min_pause);
        Micros(self.timeout.0.saturating_mul(2).saturating_add(pause.0).saturating_add(COMMIT.0))
    }
}

/// `[restart]`: what happens when the job fails (the strategies of Flink).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestartPlan {
    /// The job has failed.
    Never,
    /// Again after `delay`, so many times in all.
    FixedDelay { attempts: u32, delay: Micros },
    /// Again after `delay`, until it fails more than `failures_max` times within `interval`.
    FailureRate { failures_max: u32, interval: Micros, delay: Micros },
    /// Again after a delay that grows from `initial` to `max` by `factor`, and begins anew when the job has run for
    /// `reset_after`.
    ExponentialDelay { initial: Micros, max: Micros, factor: f64, reset_after: Micros },
}

impl RestartPlan {
    /// What a job with checkpoints does unless it says otherwise.
    pub const DEFAULT: Self = Self::ExponentialDelay {
        initial: Micros(1_000_000),
        max: Micros(60_000_000),
        factor: 1.5,
        reset_after: Micros(3_600_000_000),
    };
}
