//! `[checkpoints]` and `[restart]`.

use std::path::Path;

use crate::model::time::Micros;
use crate::plan::fault_tolerance::{CheckpointPlan, RestartPlan};
use crate::plan::location::Location;

use super::location;
use super::reader::{Reader, nowhere};

const SECOND: Micros = Micros(1_000_000);
const MINUTE: Micros = Micros(60_000_000);
const RETAINED_MAX: u64 = 1_000;
const ATTEMPTS_MAX: u64 = 1_000_000;

/// `name` is the job's, whose checkpoints stand beside its file unless it says where. With sinks that deliver exactly once
/// (`is_exactly_once`), `timeout` is shorter, so that transactions are no longer than brokers allow. `transactions` are for
/// `resolve`.
pub fn read_checkpoints(job: &mut Reader, folder: &Path, name: &str, is_exactly_once: bool) -> Option<CheckpointPlan> {
    let mut fields = job.table("checkpoints")?;
    let location = match fields.has("url") {
        true => location("url", &mut fields, folder)?.value,
        false => Location::Folder(folder.join(format!("{name}.checkpoints"))),
    };
    let timeout = Micros(if is_exactly_once { 5 } else { 10 } * MINUTE.0);
    let plan = CheckpointPlan {
        location,
        interval: fields.length("interval").map_or(Micros(10 * SECOND.0), |length| length.value),
        min_pause: fields.duration("min_pause").map_or(Micros(0), |pause| pause.value),
        timeout: fields.length("timeout").map_or(timeout, |length| length.value),
        unaligned_after: fields.duration("unaligned_after").map(|after| after.value),
        tolerated_failures: fields.integer("tolerated_failures", 0, u32::MAX.into()).map_or(0, |n| n.value as u32),
        retained: fields.integer("retained", 1, RETAINED_MAX).map_or(1, |n| n.value as usize),
        is_incremental: fields.boolean("incremental").unwrap_or(true),
        transactions: None,
    };
    fields.finish(nowhere);
    Some(plan)
}

#[derive(Clone, Copy, PartialEq)]
enum Strategy {
    None,
    FixedDelay,
    FailureRate,
    ExponentialDelay,
}

const STRATEGIES: [(&str, Strategy); 4] = [
    ("none", Strategy::None),
    ("fixed-delay", Strategy::FixedDelay),
    ("failure-rate", Strategy::FailureRate),
    ("exponential-delay", Strategy::ExponentialDelay),
];

/// A job without checkpoints is not restarted unless it says so: it would begin anew.
pub fn read_restart(job: &mut Reader, has_checkpoints: bool) -> RestartPlan {
    let default = if has_checkpoints { RestartPlan::DEFAULT } else { RestartPlan::Never };
    let Some(mut fields) = job.table("restart") else { return default };
    let Some(strategy) = fields.required("strategy", |fields, name| fields.choice(name, &STRATEGIES)) else {
        return default;
    };
    let plan = match strategy.value {
        Strategy::None => RestartPlan::Never,
        Strategy::FixedDelay => RestartPlan::FixedDelay {
            attempts: fields.integer("attempts", 1, ATTEMPTS_MAX).map_or(3, |n| n.value as u32),
            delay: fields.duration("delay").map_or(SECOND, |delay| delay.value),
        },
        Strategy::FailureRate => RestartPlan::FailureRate {
            failures_max: fields.integer("failures_max", 1, ATTEMPTS_MAX).map_or(3, |n| n.value as u32),
            interval: fields.length("interval").map_or(Micros(10 * MINUTE.0), |length| length.value),
            delay: fields.duration("delay").map_or(SECOND, |delay| delay.value),
        },
        Strategy::ExponentialDelay => exponential(&mut fields),
    };
    fields.finish(|name| {
        let strategy = match name {
            "attempts" => "fixed-delay",
            "delay" => "fixed-delay` and `failure-rate",
            "failures_max" | "interval" => "failure-rate",
            "initial_delay" | "max_delay" | "factor" | "reset_after" => "exponential-delay",
            _ => return None,
        };
        Some(format!("it belongs to the strategy `{strategy}`"))
    });
    plan
}

fn exponential(fields: &mut Reader) -> RestartPlan {
    let RestartPlan::ExponentialDelay { initial, max, factor, reset_after } = RestartPlan::DEFAULT else {
        unreachable!("it is the default")
    };
    let initial = fields.length("initial_delay").map_or(initial, |length| length.value);
    RestartPlan::ExponentialDelay {
        initial,
        max: fields.length("max_delay").map_or(max, |length| length.value).max(initial),
        factor: fields.number("factor", 1.0).unwrap_or(factor),
        reset_after: fields.length("reset_after").map_or(reset_after, |length| length.value),
    }
}
