//! A job that runs beside the bench: it is watched, and stopped or killed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use wait4::Wait4;

use super::job::{Job, Status};
use super::measure::megabytes;
use super::stand::Stand;

/// Anything that is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub struct Live<'a> {
    stand: &'a Stand,
    job: &'a Job,
    started: Instant,
    /// `None` = it is over.
    process: Option<Child>,
    /// When the first line came out.
    first_line: Receiver<Instant>,
}

impl<'a> Live<'a> {
    /// Goes on from the job's last checkpoint, if there is one.
    pub fn start(stand: &'a Stand, job: &'a Job) -> Result<Self> {
        let started = Instant::now();
        let mut command = job.command(stand);
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run `wasmill run`")?;
        let stdout = process.stdout.take().context("it has a pipe")?;
        let (said, first_line) = channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            if stdout.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let _ = said.send(Instant::now());
            }
            // The job must not wait for us.
            let mut rest = vec![0; 64 << 10];
            while stdout.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
        });
        Ok(Self { stand, job, started, process: Some(process), first_line })
    }

    /// From its start until its first line came out.
    pub fn first_line(&mut self) -> Result<Duration> {
        match self.first_line.recv_timeout(PATIENCE) {
            Ok(at) => Ok(at - self.started),
            Err(RecvTimeoutError::Timeout) => bail!("the job wrote nothing within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the job ended before it wrote anything"),
        }
    }

    pub fn wait_until(&mut self, what: &str, reached: impl Fn(&Status) -> Result<bool>) -> Result<Status> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.job.status(self.stand)?
                && reached(&status)?
            {
                return Ok(status);
            }
            if let Some(ended) = self.process()?.try_wait()? {
                bail!("the job ended ({ended}) before {what}");
            }
            ensure!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            thread::sleep(LOOK_EVERY);
        }
    }

    fn process(&mut self) -> Result<&mut Child> {
        self.process.as_mut().context("the job is over")
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Result<()> {
        self.process()?.kill().context("cannot kill the job")?;
        self.process()?.wait().context("waiting for the job that was killed")?;
        self.process = None;
        Ok(())
    }

    /// As Ctrl-C does: with a last checkpoint. What it came to, and the memory that it took at most, in MB.
    pub fn stop(mut self) -> Result<(Status, f64)> {
        kill_process(Pid::from_child(self.process()?), Signal::INT).context("the job ended before it was stopped")?;
        let process = self.process.take().context("the job is over")?;
        let used = process.wait4().context("waiting for the job")?;
        ensure!(used.status.success(), "the job failed ({})", used.status);
        Ok((Status::of_last_run(self.stand)?, megabytes(used.rusage.maxrss)))
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
