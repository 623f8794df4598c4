use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::ctrl_c;

use super::job_file::JobFile;
use super::progress_view::View;
use crate::control::job::Job;
use crate::control::progress::{Sampler, operator_metrics, totals};

/// How often progress is shown: on a terminal, and as a log line.
const REDRAW: Duration = Duration::from_millis(250);
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Run a job in this process, until its sources end or Ctrl-C drains it
///
/// Shows events per second, watermarks and where time goes. The first Ctrl-C stops the sources and finishes what is in
/// flight: windows fire, sinks close. The second stops at once.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    job: JobFile,
    /// No progress, only warnings and errors
    #[arg(long, short)]
    quiet: bool,
}

impl Run {
    pub fn run(self) -> anyhow::Result<()> {
        let terminal = std::io::stderr().is_terminal() && !self.quiet;
        let view = View::new(terminal, self.quiet);
        let plan = self.job.plan()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(watch(Job::start(plan)?, view, if terminal { REDRAW } else { LOG_EVERY }))
    }
}

async fn watch(mut job: Job, mut view: View, every: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut sampler = Sampler::new(&job);
    let mut ticks = tokio::time::interval(every);
    ticks.tick().await;
    let mut draining = false;
    let ended = loop {
        tokio::select! {
            ended = job.end() => break ended,
            _ = ticks.tick() => view.show(&sampler.sample(&job)),
            pressed = ctrl_c() => {
                pressed?;
                if std::mem::replace(&mut draining, true) {
                    anyhow::bail!("stopped at once, by a second Ctrl-C: what was in flight is lost");
                }
                view.note("draining: sources have stopped; Ctrl-C again stops at once");
                job.drain();
            }
        }
    };
    view.finish(totals(&job), &operator_metrics(&job), started.elapsed(), ended.is_ok());
    Ok(ended?)
}
