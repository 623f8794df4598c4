use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use super::job_file::JobFile;
use super::progress_view::{View, now};
use super::stop_signals::StopSignals;
use crate::control::calls::{Calls, Outcome};
use crate::control::checkpoint::claim::StartFrom;
use crate::control::job::{Job, Options, no_checkpoints};
use crate::control::progress::{Sampler, operator_metrics, status, totals};
use crate::control::restart::Restarts;
use crate::control::socket::protocol::{JobState, JobStatus};
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::plan::graph::Plan;

/// How often progress is shown: on a terminal, and as a log line.
const REDRAW: Duration = Duration::from_millis(250);
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Lets the process die at a place, for tests of what it leaves behind: see `model::fail_point`.
const FAIL_POINT: &str = "WASMILL_FAIL_POINT";

/// Run a job in this process, until its sources end or Ctrl-C stops it
///
/// Shows events per second, watermarks, checkpoints and where time goes. A job with `[checkpoints]` goes on from its last
/// complete checkpoint, if there is one; Ctrl-C makes a last one, so that the same command goes on from there. Without
/// checkpoints, Ctrl-C stops the sources and finishes what is in flight: windows fire, sinks close. The second Ctrl-C
/// stops at once. SIGTERM is taken as Ctrl-C. A job that had finished is not run again, unless with `--fresh`.
///
/// While a job with checkpoints runs, `wasmill status`, `savepoint` and `stop` reach it.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    job: JobFile,
    /// Start from this checkpoint or savepoint: its folder, or the URL of it
    #[arg(long, value_name = "PATH", conflicts_with = "fresh")]
    from: Option<String>,
    /// Start from nothing, although there is a checkpoint
    #[arg(long)]
    fresh: bool,
    /// Drop state of the checkpoint that the job has no place for
    #[arg(long)]
    allow_non_restored_state: bool,
    /// Folder of the job's control socket [default: beside the checkpoints; for those in an object store,
    /// $XDG_RUNTIME_DIR/wasmill]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// When the job is over, write what it came to into this file: JSON, as `wasmill status --json` prints it
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// No progress, only warnings and errors
    #[arg(long, short)]
    quiet: bool,
}

impl Run {
    pub fn run(self) -> anyhow::Result<()> {
        let terminal = std::io::stderr().is_terminal() && !self.quiet;
        let view = View::new(terminal, self.quiet);
        if let Ok(place) = std::env::var(FAIL_POINT) {
            fail_point::arm(&place).map_err(anyhow::Error::msg)?;
        }
        let plan = Arc::new(self.job.plan()?);
        if plan.checkpoints.is_none() && (self.from.is_some() || self.fresh) {
            return Err(no_checkpoints(&plan.name).into());
        }
        let from = match (self.from, self.fresh) {
            (Some(path), _) => StartFrom::Path(path),
            (None, true) => StartFrom::Nothing,
            (None, false) => StartFrom::Latest,
        };
        let options = Options { from, may_drop_state: self.allow_non_restored_state, ..Options::default() };
        let every = if terminal { REDRAW } else { LOG_EVERY };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let restarts = Restarts::new(plan.restart);
        let attempts = Attempts { plan, options, view, every, restarts, stopping: false, report: self.report };
        runtime.block_on(attempts.run(self.state_dir))
    }
}

/// The starts of a job in this process, one after the other.
struct Attempts {
    plan: Arc<Plan>,
    options: Options,
    view: View,
    every: Duration,
    restarts: Restarts,
    stopping: bool,
    report: Option<PathBuf>,
}

/// What comes after a start of the job.
enum Again {
    Started(Job),
    /// It has ended, or somebody has asked for that while it waited to start again.
    Over,
    Failed(Fault),
}

impl Attempts {
    async fn run(mut self, state_dir: Option<PathBuf>) -> anyhow::Result<()> {
        // A job that cannot even start the first time is not tried again: somebody is there to see it.
        let mut job = Job::start(Arc::clone(&self.plan), &self.options)?;
        let mut signals = StopSignals::listen()?;
        let checkpoints = self.plan.checkpoints.as_ref().filter(|_| job.has_checkpoints());
        let mut calls = Calls::open(&self.plan.name, checkpoints, state_dir.as_deref());
        loop {
            let started = Instant::now();
            let ended = self.watch(&mut job, &mut calls, &mut signals).await?;
            let status = status(&job, JobState::Restarting, started.elapsed(), self.restarts.count());
            let last = status.checkpoints.last_completed_checkpoint.clone();
            drop(job);
            let again = match ended {
                Ok(()) => Again::Over,
                Err(fault) => self.start_again(fault, started.elapsed(), status, &mut calls, &mut signals).await,
            };
            match again {
                Again::Started(next) => job = next,
                Again::Over => {
                    calls.close(&Ok(()), last).await;
                    return Ok(());
                }
                Again::Failed(fault) => {
                    calls.close(&Err(fault.clone()), None).await;
                    return Err(fault.into());
                }
            }
        }
    }

    /// Waits as long as the restart strategy says, and starts the job from its last checkpoint. `status` is how it was
    /// when it failed, having run for `ran`.
    async fn start_again(
        &mut self,
        mut fault: Fault,
        mut ran: Duration,
        mut status: JobStatus,
        calls: &mut Calls,
        signals: &mut StopSignals,
    ) -> Again {
        self.options.from = StartFrom::Latest;
        loop {
            let may = fault.kind.may_pass() && !self.stopping;
            let Some(delay) = may.then(|| self.restarts.after_failure(now(), ran.into())).flatten() else {
                return Again::Failed(fault);
            };
            let delay = Duration::from(delay);
            let (count, at) = (self.restarts.count(), Instant::now() + delay);
            self.view.warn(&format!("the job has failed and starts again in {delay:.1?} (restart {count}): {fault}"));
            (status.restarts_total, status.failure) = (count, Some(fault.to_string()));
            let mut waiting = std::pin::pin!(tokio::time::sleep(delay));
            loop {
                tokio::select! {
                    () = &mut waiting => break,
                    call = calls.next() => {
                        let rest = at.saturating_duration_since(Instant::now());
                        status.restarts_in_ms = Some(rest.as_millis() as u64);
                        if calls.serve_restarting(call, &status) == Outcome::Stopping {
                            return Again::Over;
                        }
                    }
                    () = signals.next() => return Again::Failed(fault),
                }
            }
            match Job::start(Arc::clone(&self.plan), &self.options) {
                Ok(job) => return Again::Started(job),
                Err(again) => (fault, ran) = (again, Duration::ZERO),
            }
        }
    }

    /// Shows a start of the job until it ends.
    async fn watch(
        &mut self,
        job: &mut Job,
        calls: &mut Calls,
        signals: &mut StopSignals,
    ) -> anyhow::Result<Result<(), Fault>> {
        let started = Instant::now();
        if let Some(intent) = &job.unfinished_stop {
            self.view.warn(&intent.to_string());
        }
        if let Some(started_from) = &job.started_from {
            self.view.note(&started_from.to_string());
            if started_from.is_finished {
                return Ok(job.end().await);
            }
        }
        let mut sampler = Sampler::new(job);
        let mut ticks = tokio::time::interval(self.every);
        ticks.tick().await;
        let ended = loop {
            tokio::select! {
                ended = job.end() => break ended,
                _ = ticks.tick() => {
                    let checkpoints = job.has_checkpoints().then(|| job.checkpoint_progress());
                    self.view.show(&sampler.sample(job), checkpoints.as_ref(), self.restarts.count());
                }
                call = calls.next() => {
                    let state = if self.stopping { JobState::Stopping } else { JobState::Running };
                    let restarts = self.restarts.count();
                    match calls.serve(call, job, || status(job, state, started.elapsed(), restarts)) {
                        Outcome::Served => {}
                        Outcome::Stopping => self.stopping = true,
                    }
                }
                () = signals.next() => {
                    if std::mem::replace(&mut self.stopping, true) {
                        anyhow::bail!("stopped at once, by a second Ctrl-C or SIGTERM: what was in flight is lost");
                    }
                    let what = match job.has_checkpoints() {
                        true => "stopping with a last checkpoint",
                        false => "draining: sources have stopped",
                    };
                    self.view.note(&format!("{what}; Ctrl-C again stops at once"));
                    job.stop();
                }
            }
        };
        self.view.finish(totals(job), &operator_metrics(job), started.elapsed(), ended.is_ok());
        if let Some(report) = &self.report {
            let state = if ended.is_ok() { JobState::Finished } else { JobState::Failed };
            let mut status = status(job, state, started.elapsed(), self.restarts.count());
            status.failure = ended.as_ref().err().map(Fault::to_string);
            let written = std::fs::write(report, serde_json::to_string_pretty(&status)?);
            written.with_context(|| format!("cannot write the report {}", report.display()))?;
        }
        Ok(ended)
    }
}
