use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use wasmill_broker::Broker;

use crate::setup::{self, Need};
use crate::{plugins, repo};

const JOB: &str = "clicks.toml";
/// From a generator to a topic, from that to another, and from there to files, with the nodes that need the broker.
const KAFKA_JOBS: [(&str, &[&str]); 3] = [
    ("clicks-to-kafka.toml", &["sinks.clicks"]),
    (KAFKA_JOB, &["sources.clicks", "sinks.counts"]),
    ("counts-from-kafka.toml", &["sources.counts"]),
];
const KAFKA_JOB: &str = "clicks-kafka.toml";
const KAFKA_PARTITIONS: u16 = 3;
const PLUGIN: &str = "clicks";
const SHOWN_ADS: usize = 3;

/// Install what is missing, build, and run the main job with live progress: no database, and a broker only if asked
///
/// Installs the WebAssembly target of Rust (operators are compiled for it) when it is missing.
#[derive(Debug, Args)]
pub struct Demo {
    /// Changes to the job, such as sources.clicks.count=50000000
    #[arg(long = "set", value_name = "A.B=C")]
    settings: Vec<String>,
    /// From topic to topic, on an Apache Kafka broker of its own: installs Java 17 and Maven, when they are missing
    #[arg(long)]
    kafka: bool,
}

impl Demo {
    pub fn run(self) -> Result<()> {
        setup::ensure(&[Need::NativeBuild, Need::GuestCompiler])?;
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        plugins::build(&wasmill, &[PLUGIN.to_owned()])?;
        let results = repo::root().join("target/demo/counts");
        if results.exists() {
            fs::remove_dir_all(&results).with_context(|| format!("cannot remove {}", results.display()))?;
        }
        if self.kafka {
            self.run_on_kafka(&wasmill)?;
        } else {
            run(&wasmill, JOB, &self.settings)?;
        }
        print(&windows(&results)?, &results);
        Ok(())
    }

    fn run_on_kafka(&self, wasmill: &Path) -> Result<()> {
        setup::ensure_kafka()?;
        let broker = Broker::start(KAFKA_PARTITIONS)?;
        for (job, nodes) in KAFKA_JOBS {
            let brokers = nodes.iter().map(|node| format!("{node}.brokers={}", broker.address()));
            let own = self.settings.iter().filter(|_| job == KAFKA_JOB).cloned();
            run(wasmill, job, &brokers.chain(own).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

fn run(wasmill: &Path, job: &str, settings: &[String]) -> Result<()> {
    eprintln!("\nwasmill run tests/jobs/{job}");
    let mut run = Command::new(wasmill);
    run.current_dir(repo::root().join("tests/jobs")).args(["run", job]);
    for setting in settings {
        run.args(["--set", setting]);
    }
    repo::run(&mut run)
}

/// Clicks by ad, of each window.
type Windows = BTreeMap<String, BTreeMap<String, u64>>;

fn windows(results: &Path) -> Result<Windows> {
    let mut windows = Windows::new();
    for file in files(results)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).with_context(|| format!("{}: {line}", file.display()))?;
            let (Some(ad), Some(clicks)) = (row["ad_id"].as_str(), row["clicks"].as_u64()) else {
                bail!("{}: not a row of the demo's result: {line}", file.display());
            };
            let window = row["window_end"].as_str().map_or_else(|| row["window_end"].to_string(), str::to_owned);
            *windows.entry(window).or_default().entry(ad.to_owned()).or_default() += clicks;
        }
    }
    Ok(windows)
}

fn files(results: &Path) -> Result<Vec<PathBuf>> {
    if results.is_file() {
        return Ok(vec![results.to_owned()]);
    }
    let entries = fs::read_dir(results).with_context(|| format!("cannot read {}", results.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn print(windows: &Windows, results: &Path) {
    println!("\n{:<28}{:>6}{:>12}   most clicked", "window until", "ads", "clicks");
    for (window, ads) in windows {
        let mut ranking: Vec<(&String, &u64)> = ads.iter().collect();
        ranking.sort_by_key(|(ad, clicks)| (std::cmp::Reverse(**clicks), *ad));
        let first: Vec<String> = ranking.iter().take(SHOWN_ADS).map(|(ad, clicks)| format!("{ad} {clicks}")).collect();
        println!("{window:<28}{:>6}{:>12}   {}", ads.len(), ads.values().sum::<u64>(), first.join(", "));
    }
    let total: u64 = windows.values().flat_map(BTreeMap::values).sum();
    println!("\n{total} clicks in {} windows; every row is in {}", windows.len(), results.display());
}
