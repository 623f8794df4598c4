use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use tokio::signal::ctrl_c;

use super::job_file::JobFile;
use super::progress_view::View;
use crate::control::checkpoint::claim::StartFrom;
use crate::control::job::{Job, Options};
use crate::control::progress::{Sampler, operator_metrics, totals};
use crate::control::restart::Restarts;
use crate::model::fail_point;
use crate::model::fault::{Fault, FaultKind};
use crate::model::time::Timestamp;
use crate::plan::graph::Plan;

/// How often progress is shown: on a terminal, and as a log line.
const REDRAW: Duration = Duration::from_millis(250);
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Lets the process die at a place, for tests of what it leaves behind: see `model::fail_point`.
const FAIL_POINT: &str = "WASMILL_FAIL_POINT";

/// Run a job in this process, until its sources end or Ctrl-C stops it
///
/// Shows events per second, watermarks and where time goes. A job with `[checkpoints]` goes on from its last complete
/// checkpoint, if there is one; Ctrl-C makes a last one, so that the same command goes on from there. Without
/// checkpoints, Ctrl-C stops the sources and finishes what is in flight: windows fire, sinks close. The second Ctrl-C
/// stops at once.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    job: JobFile,
    /// Start from this checkpoint: its folder, or the URL of it
    #[arg(long, value_name = "PATH", conflicts_with = "fresh")]
    from: Option<String>,
    /// Start from nothing, although there is a checkpoint
    #[arg(long)]
    fresh: bool,
    /// Drop state of the checkpoint that the job has no place for
    #[arg(long)]
    allow_non_restored_state: bool,
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
            anyhow::bail!("the job `{}` makes no checkpoints: give it a table `[checkpoints]`", plan.name);
        }
        let from = match (self.from, self.fresh) {
            (Some(path), _) => StartFrom::Path(path),
            (None, true) => StartFrom::Nothing,
            (None, false) => StartFrom::Latest,
        };
        let options = Options { from, may_drop_state: self.allow_non_restored_state, ..Options::default() };
        let every = if terminal { REDRAW } else { LOG_EVERY };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Attempts { plan, options, view, every, stopping: false }.run())
    }
}

/// The starts of a job in this process, one after the other.
struct Attempts {
    plan: Arc<Plan>,
    options: Options,
    view: View,
    every: Duration,
    stopping: bool,
}

impl Attempts {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut restarts = Restarts::new(self.plan.restart);
        // A job that cannot even start the first time is not tried again: somebody is there to see it.
        let mut job = Job::start(Arc::clone(&self.plan), &self.options)?;
        loop {
            let started = Instant::now();
            let Err(fault) = self.watch(job).await? else { return Ok(()) };
            job = self.start_again(fault, started, &mut restarts).await?;
        }
    }

    /// Waits as long as the restart strategy says, and starts the job from its last checkpoint.
    async fn start_again(
        &mut self,
        mut fault: Fault,
        started: Instant,
        restarts: &mut Restarts,
    ) -> anyhow::Result<Job> {
        self.options.from = StartFrom::Latest;
        let mut ran = started.elapsed();
        loop {
            let may = fault.kind != FaultKind::Superseded && !self.stopping;
            let Some(delay) = may.then(|| restarts.after_failure(now(), ran.into())).flatten() else {
                return Err(fault.into());
            };
            let delay = Duration::from(delay);
            let count = restarts.count();
            self.view.note(&format!("the job has failed and starts again in {delay:.1?} (restart {count}): {fault}"));
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                pressed = ctrl_c() => {
                    pressed?;
                    return Err(fault.into());
                }
            }
            match Job::start(Arc::clone(&self.plan), &self.options) {
                Ok(job) => return Ok(job),
                Err(again) => (fault, ran) = (again, Duration::ZERO),
            }
        }
    }

    /// Shows a start of the job until it ends.
    async fn watch(&mut self, mut job: Job) -> anyhow::Result<Result<(), Fault>> {
        let started = Instant::now();
        if let Some(checkpoint) = job.started_from {
            self.view.note(&format!("going on from checkpoint {checkpoint}"));
        }
        let mut sampler = Sampler::new(&job);
        let mut ticks = tokio::time::interval(self.every);
        ticks.tick().await;
        let ended = loop {
            tokio::select! {
                ended = job.end() => break ended,
                _ = ticks.tick() => self.view.show(&sampler.sample(&job)),
                pressed = ctrl_c() => {
                    pressed?;
                    if std::mem::replace(&mut self.stopping, true) {
                        anyhow::bail!("stopped at once, by a second Ctrl-C: what was in flight is lost");
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
        self.view.finish(totals(&job), &operator_metrics(&job), started.elapsed(), ended.is_ok());
        Ok(ended)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
