//! Running one process and weighing it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wait4::Wait4;

use super::case::Sample;

/// What a program printed and used.
#[derive(Debug)]
pub struct Run {
    pub stdout: String,
    pub rss_mb: f64,
    pub cpu: Duration,
    pub wall: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Run {
    /// By user and system CPU time of the whole process.
    pub fn per_core_second(&self, events: u64) -> Sample {
        Sample::one(events as f64 / self.cpu.as_secs_f64(), self.rss_mb)
    }

    /// By the clock.
    pub fn per_second(&self, events: u64) -> Sample {
        Sample::one(events as f64 / self.wall.as_secs_f64(), self.rss_mb)
    }
}

/// Runs a program to its end. Its stderr is shown, its stdout kept.
pub fn run(command: &mut Command) -> Result<Run> {
    let started = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{program}`"))?;
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut stdout).with_context(|| format!("what `{program}` prints"))?;
    }
    let used = child.wait4().with_context(|| format!("waiting for `{program}`"))?;
    let wall = started.elapsed();
    if !used.status.success() {
        bail!("`{program}` failed ({}); it printed: {stdout}", used.status);
    }
    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(Run { stdout, rss_mb: megabytes(used.rusage.maxrss), cpu, wall })
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Of nothing: not a number.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_process_is_weighed() {
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo 42";
        let run = run(Command::new("sh").args(["-c", spin])).unwrap();
        let by_cpu = run.per_core_second(1_000_000);
        assert!(by_cpu.figures[0].is_some_and(|figure| figure.is_finite() && figure > 0.0), "{by_cpu:?}");
        assert!(by_cpu.rss_mb > 0.1, "{by_cpu:?}");
        assert_eq!(run.stdout.trim(), "42");
    }

    #[test]
    fn a_failed_process_is_an_error() {
        let error = run(Command::new("sh").args(["-c", "echo why; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
    }
}
