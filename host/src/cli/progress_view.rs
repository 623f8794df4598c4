//! How `run` shows progress: a line for each node that is redrawn in place or, without a terminal, log lines.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use indicatif::{BinaryBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::control::checkpoint::progress::CheckpointProgress;
use crate::control::progress::{NodeProgress, OperatorMetrics, Totals};
use crate::model::time::Timestamp;

pub struct View {
    screen: Option<Screen>,
    quiet: bool,
}

struct Screen {
    all: MultiProgress,
    /// One for each node, and one for the checkpoints.
    lines: Vec<ProgressBar>,
}

impl View {
    /// Sets up logging too, so that log lines and progress do not write over each other.
    pub fn new(terminal: bool, quiet: bool) -> Self {
        let screen = terminal.then(|| Screen { all: MultiProgress::new(), lines: Vec::new() });
        let writer = LogWriter(screen.as_ref().map(|screen| screen.all.clone()));
        let default = if quiet { "warn" } else { "info" };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let format = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_ansi(terminal)
            .with_target(false);
        // A process that set up its own logging before keeps it.
        let _ = format.try_init();
        Self { screen, quiet }
    }

    /// `checkpoints` is `None` where the job makes none.
    pub fn show(&mut self, nodes: &[NodeProgress], checkpoints: Option<&CheckpointProgress>, restarts: u32) {
        let last = checkpoints.map(|checkpoints| checkpoint_line(checkpoints, restarts, now()));
        let texts: Vec<String> = nodes.iter().map(line).chain(last).collect();
        let Some(screen) = &mut self.screen else {
            if !self.quiet {
                texts.iter().for_each(|text| tracing::info!("{text}"));
            }
            return;
        };
        while screen.lines.len() < texts.len() {
            let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{msg}").expect("a template"));
            screen.lines.push(screen.all.add(bar));
        }
        for (bar, text) in screen.lines.iter().zip(texts) {
            bar.set_message(text);
        }
    }

    pub fn note(&self, text: &str) {
        tracing::info!("{text}");
    }

    pub fn warn(&self, text: &str) {
        tracing::warn!("{text}");
    }

    pub fn finish(&mut self, totals: Totals, operators: &[OperatorMetrics], elapsed: Duration, whole: bool) {
        if let Some(screen) = &self.screen {
            screen.lines.iter().for_each(ProgressBar::finish_and_clear);
        }
        if self.quiet {
            return;
        }
        let Totals { events_in, rows_out, late_records, dead_letters } = totals;
        let seconds = elapsed.as_secs_f64();
        let rate = HumanCount((events_in as f64 / seconds.max(1e-9)) as u64);
        tracing::info!(
            "{} after {seconds:.1} s: {} events in ({rate}/s), {} rows out, {late_records} late, {dead_letters} dead letters",
            if whole { "finished" } else { "failed" },
            HumanCount(events_in),
            HumanCount(rows_out),
        );
        operators.iter().flat_map(metric_lines).for_each(|line| tracing::info!("{line}"));
    }
}

/// A line for each metric of an operator.
fn metric_lines(operator: &OperatorMetrics) -> Vec<String> {
    let counters = operator.counters.iter().map(|(name, count)| format!("{name}: {}", HumanCount(*count)));
    let histograms = operator.histograms.iter().map(|(name, values)| {
        let Some((half, most)) = values.quantile(0.5).zip(values.quantile(0.99)) else {
            return format!("{name}: no values");
        };
        let (count, mean, min, max) = (HumanCount(values.count()), values.mean(), values.min, values.max);
        format!("{name}: {count} values, mean {mean:.1}, min {min:.1}, p50 {half:.1}, p99 {most:.1}, max {max:.1}")
    });
    counters.chain(histograms).map(|metric| format!("{:<16} {metric}", operator.uid.as_str())).collect()
}

fn line(node: &NodeProgress) -> String {
    let watermark = match node.watermark {
        Timestamp::MIN => "no watermark".to_owned(),
        Timestamp::MAX => "ended".to_owned(),
        watermark => match node.watermark_lag() {
            Some(lag) => format!("watermark {watermark} (lag {})", short(lag.into())),
            None => format!("watermark {watermark}"),
        },
    };
    let mut text = format!(
        "{:<16} {:>12} in {:>12}/s  busy {:>3.0}%  back-pressured {:>3.0}%  {watermark}",
        node.uid.as_str(),
        HumanCount(node.records_in).to_string(),
        HumanCount(node.records_per_second as u64).to_string(),
        node.busy * 100.0,
        node.backpressured * 100.0,
    );
    if let Some(lag) = node.lag.filter(|lag| *lag > 0) {
        text.push_str(&format!("  {} wait", HumanCount(lag)));
    }
    if node.late_records > 0 {
        text.push_str(&format!("  late {}", HumanCount(node.late_records)));
    }
    if node.dead_letters > 0 {
        text.push_str(&format!("  dead letters {}", HumanCount(node.dead_letters)));
    }
    text
}

/// The line of a job's checkpoints.
pub fn checkpoint_line(checkpoints: &CheckpointProgress, restarts: u32, now: Timestamp) -> String {
    let mut text = format!("{:<16} ", "checkpoints");
    match &checkpoints.last_completed_checkpoint {
        None => text.push_str("none complete yet"),
        Some(last) => {
            let age = Duration::from_micros(now.0.saturating_sub(last.completed_at).max(0).unsigned_abs());
            let took = Duration::from_millis(last.checkpoint_duration_ms);
            text.push_str(&format!(
                "{} {} complete {} ago, took {}, {} written of {}",
                last.kind,
                last.checkpoint,
                short(age),
                humantime::format_duration(took),
                BinaryBytes(last.checkpoint_size_bytes),
                BinaryBytes(last.full_size_bytes),
            ));
        }
    }
    if let Some(checkpoint) = checkpoints.in_progress_checkpoint {
        text.push_str(&format!("  {checkpoint} under way"));
    }
    if checkpoints.failed_checkpoints > 0 {
        text.push_str(&format!("  failed {}", checkpoints.failed_checkpoints));
    }
    if restarts > 0 {
        text.push_str(&format!("  restarts {restarts}"));
    }
    text
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}

/// Whole seconds, and at most two units: a lag of years is not read to the second.
fn short(lag: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(lag.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Standard error, above the progress lines.
#[derive(Clone)]
struct LogWriter(Option<MultiProgress>);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.0 {
            None => io::stderr().write_all(line)?,
            Some(all) => all.suspend(|| io::stderr().write_all(line))?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
