use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::setup::{self, Need};
use crate::{plugins, repo};

const JOB: &str = "clicks.toml";
const PLUGIN: &str = "clicks";
const SHOWN_ADS: usize = 3;

/// Install what is missing, build, and run the main job with live progress: no broker, no database
///
/// Installs the WebAssembly target of Rust (operators are compiled for it) when it is missing.
#[derive(Debug, Args)]
pub struct Demo {
    /// Changes to the job, such as sources.clicks.count=50000000
    #[arg(long = "set", value_name = "A.B=C")]
    settings: Vec<String>,
}

impl Demo {
    pub fn run(self) -> Result<()> {
        setup::ensure(&[Need::GuestCompiler])?;
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        plugins::build(&wasmill, &[PLUGIN.to_owned()])?;
        let jobs = repo::root().join("tests/jobs");
        let results = repo::root().join("target/demo/counts");
        if results.exists() {
            fs::remove_dir_all(&results).with_context(|| format!("cannot remove {}", results.display()))?;
        }
        eprintln!("\nwasmill run tests/jobs/{JOB}");
        let mut run = Command::new(wasmill);
        run.current_dir(&jobs).args(["run", JOB]);
        for setting in &self.settings {
            run.args(["--set", setting]);
        }
        repo::run(&mut run)?;
        print(&windows(&results)?, &results);
        Ok(())
    }
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
