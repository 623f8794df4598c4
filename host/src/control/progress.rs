//! What a job is doing, for people: rates, watermarks, and where it is stuck.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use crate::dataplane::histogram::Distribution;
use crate::dataplane::metrics::NodeMetrics;
use crate::model::id::Uid;
use crate::model::time::{Micros, Timestamp};
use crate::plan::graph::{Node, NodeKind, ProcessPlan};

use super::job::Job;
use super::socket::protocol::{JobState, JobStatus, NodeStatus};

/// One node since the last sample, all slots together.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeProgress {
    pub uid: Uid,
    pub records_in: u64,
    pub records_out: u64,
    pub records_per_second: f64,
    /// The slowest slot's.
    pub watermark: Timestamp,
    /// Events that wait for a source to read them, if its connector knows.
    pub lag: Option<u64>,
    pub late_records: u64,
    pub dead_letters: u64,
    /// Of the time of its slots, 0 to 1: at work, and waiting for a reader that is slower. Nodes of one task share it.
    pub busy: f64,
    pub backpressured: f64,
}

impl NodeProgress {
    /// How far event time is behind the clock.
    pub fn watermark_lag(&self) -> Option<Micros> {
        if matches!(self.watermark, Timestamp::MIN | Timestamp::MAX) {
            return None;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(Micros((now.as_micros() as i64).saturating_sub(self.watermark.0).max(0)))
    }
}

/// Totals of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub events_in: u64,
    pub rows_out: u64,
    pub late_records: u64,
    pub dead_letters: u64,
}

/// What an operator has counted and observed itself, all slots together, by the names in its descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorMetrics {
    pub uid: Uid,
    pub counters: Vec<(String, u64)>,
    pub histograms: Vec<(String, Distribution)>,
}

/// Takes samples of a job.
pub struct Sampler {
    at: Instant,
    last: Vec<Counted>,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    records_in: u64,
    busy: u64,
    backpressured: u64,
}

impl Sampler {
    pub fn new(job: &Job) -> Self {
        Self { at: Instant::now(), last: vec![Counted::default(); job.metrics.len()] }
    }

    pub fn sample(&mut self, job: &Job) -> Vec<NodeProgress> {
        let elapsed = self.at.elapsed();
        self.at = Instant::now();
        let nodes = 0..job.plan.nodes.len();
        nodes.map(|node| self.node(job, node, elapsed.as_secs_f64().max(1e-9))).collect()
    }

    fn node(&mut self, job: &Job, node: usize, seconds: f64) -> NodeProgress {
        let (metrics, times) = (&job.metrics[node], &job.times[node]);
        let sum = |counter: fn(&NodeMetrics) -> u64| -> u64 { metrics.iter().map(|slot| counter(slot)).sum() };
        let counted = Counted {
            records_in: sum(|slot| slot.records_in.load(Relaxed)),
            busy: times.iter().map(|time| time.busy.load(Relaxed)).sum(),
            backpressured: times.iter().map(|time| time.backpressured.load(Relaxed)).sum(),
        };
        let last = std::mem::replace(&mut self.last[node], counted);
        let share = |now: u64, then: u64| {
            let nanos = seconds * 1e9 * times.len().max(1) as f64;
            ((now - then) as f64 / nanos).min(1.0)
        };
        NodeProgress {
            uid: job.plan.nodes[node].uid.clone(),
            records_in: counted.records_in,
            records_out: sum(|slot| slot.records_out.load(Relaxed)),
            records_per_second: (counted.records_in - last.records_in) as f64 / seconds,
            watermark: metrics.iter().map(|slot| slot.watermark()).min().unwrap_or(Timestamp::MIN),
            lag: lag(metrics),
            late_records: sum(|slot| slot.late_records.load(Relaxed)),
            dead_letters: sum(|slot| slot.dead_letters.load(Relaxed)),
            busy: share(counted.busy, last.busy),
            backpressured: share(counted.backpressured, last.backpressured),
        }
    }
}

/// Of all slots of a source; `None` = its connector knows it of none.
fn lag(slots: &[Arc<NodeMetrics>]) -> Option<u64> {
    slots.iter().filter_map(|slot| slot.lag()).reduce(u64::saturating_add)
}

/// The job so far.
pub fn totals(job: &Job) -> Totals {
    let mut totals = Totals::default();
    for (node, metrics) in job.plan.nodes.iter().zip(&job.metrics) {
        for slot in metrics.iter().map(Arc::as_ref) {
            let records_in = slot.records_in.load(Relaxed);
            match node.kind {
                NodeKind::Source(_) => totals.events_in += records_in,
                NodeKind::Sink(_) => totals.rows_out += records_in,
                NodeKind::Process(_) | NodeKind::Window(_) => {}
            }
            totals.late_records += slot.late_records.load(Relaxed);
            totals.dead_letters += slot.dead_letters.load(Relaxed);
        }
    }
    totals
}

/// The job as other processes are told of it.
pub fn status(job: &Job, state: JobState, uptime: Duration, restarts: u32) -> JobStatus {
    let nodes = job.plan.nodes.iter().zip(&job.metrics).map(|(node, slots)| {
        let sum = |counter: fn(&NodeMetrics) -> u64| -> u64 { slots.iter().map(|slot| counter(slot)).sum() };
        let watermark = slots.iter().map(|slot| slot.watermark()).min().unwrap_or(Timestamp::MIN);
        let is_said = !matches!(watermark, Timestamp::MIN | Timestamp::MAX);
        NodeStatus {
            uid: node.uid.as_str().to_owned(),
            records_in_total: sum(|slot| slot.records_in.load(Relaxed)),
            records_out_total: sum(|slot| slot.records_out.load(Relaxed)),
            late_records_total: sum(|slot| slot.late_records.load(Relaxed)),
            dead_letters_total: sum(|slot| slot.dead_letters.load(Relaxed)),
            pending_records: lag(slots),
            current_watermark_ms: is_said.then(|| watermark.0.div_euclid(1_000)),
        }
    });
    JobStatus {
        job: job.plan.name.clone(),
        state,
        process_id: std::process::id(),
        uptime_ms: uptime.as_millis() as u64,
        restarts_total: restarts,
        failure: None,
        restarts_in_ms: None,
        started_from: job.started_from.as_ref().map(|started_from| started_from.checkpoint.0),
        checkpoints: job.checkpoint_progress(),
        nodes: nodes.collect(),
    }
}

/// The metrics of the job's operators so far; those that have none are left out.
pub fn operator_metrics(job: &Job) -> Vec<OperatorMetrics> {
    let of_node = |(node, slots): (&Node, &Vec<Arc<NodeMetrics>>)| {
        let NodeKind::Process(ProcessPlan { descriptor, .. }) = &node.kind else { return None };
        let count = |number: usize| slots.iter().map(|slot| slot.counters[number].load(Relaxed)).sum();
        let distribution = |number: usize| {
            let mut distribution = Distribution::default();
            slots.iter().for_each(|slot| slot.histograms[number].add_to(&mut distribution));
            distribution
        };
        let counters = descriptor.counters.iter().cloned().zip((0..).map(count)).collect::<Vec<_>>();
        let histograms = descriptor.histograms.iter().cloned().zip((0..).map(distribution)).collect::<Vec<_>>();
        let any = !counters.is_empty() || !histograms.is_empty();
        any.then(|| OperatorMetrics { uid: node.uid.clone(), counters, histograms })
    };
    job.plan.nodes.iter().zip(&job.metrics).filter_map(of_node).collect()
}
