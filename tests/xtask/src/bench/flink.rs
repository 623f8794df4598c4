//! What our programs for Flink print (`tests/peers/flink`).

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use wait4::Wait4;

use super::case::{Sample, Subject};
use super::measure;
use super::stand::Stand;

/// Events per core-second of an endless stream, 20 s of it when it is warm.
pub fn generator(options: String) -> Subject {
    Box::new(move |stand| {
        let mut command = stand.flink()?;
        command.args(options.split(' ')).args(["warm=12", "meas=20", "reps=1"]);
        per_core(&measure::run(&mut command)?.stdout, 0)
    })
}

/// The click file; the first repetition warms the JVM up.
pub fn file(case: &'static str, lines: u64) -> Subject {
    Box::new(move |stand| {
        let mut command = stand.flink()?;
        command.arg(format!("case={case}")).args(["par=1", "reps=3", "ckpt=10000"]);
        command.arg(format!("lines={lines}")).arg(format!("in={}", stand.clicks()?.display()));
        per_core(&measure::run(&mut command)?.stdout, 1)
    })
}

/// State of 100 bytes for each key, checkpoints of it, and failures inside the process.
pub struct Checkpoints {
    pub keys: u64,
    pub backend: &'static str,
    pub incremental: bool,
    pub checkpoints: u32,
    pub failures: u32,
}

impl Checkpoints {
    /// The JSON object that it reports.
    pub fn run(&self, stand: &Stand) -> Result<Value> {
        let (heap, managed) = if self.backend == "rocks" { ("4g", "4g") } else { ("8g", "256m") };
        let mut command = stand.flink()?;
        command.env("HEAP", heap).args(["case=ckpt", "par=2", "ckpt=10000", "urate=50000"]);
        command.arg(format!("keys={}", self.keys)).arg(format!("backend={}", self.backend));
        command.arg(format!("incremental={}", self.incremental)).arg(format!("managed={managed}"));
        command.arg(format!("count={}", self.checkpoints)).arg(format!("fails={}", self.failures));
        results(&measure::run(&mut command)?.stdout)?.pop().context("Flink reported nothing")
    }
}

/// From the topic `events` to the topic `out`, two slots, a checkpoint every second.
pub struct TopicToTopic {
    /// `kafka-pass` or `kafka-count`
    pub case: String,
    pub delivery: &'static str,
    pub brokers: String,
}

/// What a bounded run writes first, to warm the JVM up.
pub const WARM_TOPIC: &str = "warm";

impl TopicToTopic {
    fn command(&self, stand: &Stand) -> Result<Command> {
        let mut command = stand.flink()?;
        command.env("HEAP", "2g").args(["par=2", "ckpt=1000"]).arg(format!("case={}", self.case));
        command.arg(format!("delivery={}", self.delivery)).arg(format!("brokers={}", self.brokers));
        Ok(command)
    }

    /// Events per core-second of what is in the topic, from the first event to the last.
    pub fn bounded(&self, stand: &Stand, events: u64) -> Result<Sample> {
        per_core(&measure::run(self.command(stand)?.arg(format!("n={events}")))?.stdout, 1)
    }

    /// While it runs, `work` is done; with the memory that it took at most, in MB.
    pub fn endless<T>(&self, stand: &Stand, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        let mut flink = self.command(stand)?;
        let mut process = flink.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run Flink")?;
        let stdout = process.stdout.take().context("it has a pipe")?;
        let worked = wait_until_running(stdout).and_then(|()| work());
        let ended = process.try_wait();
        // It is over, if it cannot be killed.
        let _ = process.kill();
        let used = process.wait4().context("waiting for Flink")?;
        let worked = worked?;
        ensure!(matches!(ended, Ok(None)), "Flink failed while it was measured");
        Ok((worked, measure::megabytes(used.rusage.maxrss)))
    }
}

fn wait_until_running(stdout: impl Read) -> Result<()> {
    for line in BufReader::new(stdout).lines() {
        if line.context("what Flink prints")? == "RUNNING" {
            return Ok(());
        }
    }
    bail!("Flink ended before its job was running")
}

/// Of a list of numbers.
pub fn median(numbers: &Value) -> Option<f64> {
    let median = measure::median(numbers.as_array()?.iter().filter_map(Value::as_f64));
    median.is_finite().then_some(median)
}

/// Of its intervals, of which the first `cold` do not count.
fn per_core(stdout: &str, cold: usize) -> Result<Sample> {
    let results = results(stdout)?;
    let median_of = |name: &str| measure::median(results.iter().skip(cold).filter_map(|result| result[name].as_f64()));
    let per_core = median_of("percore");
    ensure!(per_core.is_finite(), "Flink reported no warm run");
    Ok(Sample::one(per_core, median_of("rss_mb")))
}

fn results(stdout: &str) -> Result<Vec<Value>> {
    let results = stdout.lines().filter_map(|line| line.strip_prefix("RESULT "));
    results.map(|result| serde_json::from_str(result).context("what Flink reports")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_intervals_count() {
        let stdout = "INFO\nRESULT {\"percore\":1,\"rss_mb\":5}\nRESULT {\"percore\":4,\"rss_mb\":7}\n";
        let sample = per_core(stdout, 1).unwrap();
        assert_eq!((sample.figures, sample.rss_mb), (vec![Some(4.0)], 7.0));
        assert!(per_core(stdout, 2).is_err());
        assert_eq!(median(&serde_json::json!([3, 9, 4])), Some(4.0));
        assert_eq!(median(&serde_json::json!([])), None);
    }

    #[test]
    fn an_endless_job_says_that_it_runs() {
        assert!(wait_until_running("INFO\nRUNNING\n".as_bytes()).is_ok());
        assert!(wait_until_running("INFO\n".as_bytes()).is_err());
    }
}
