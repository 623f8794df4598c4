//! `cargo xtask chaos`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use wasmill_chaos::{KILLS_MIN, Options, Store};

/// Kill a job and everything around it, as a seed says, and compare what comes out with what must
#[derive(Debug, Parser)]
struct Cli {
    /// What happens, and when [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How often the host dies or is put to sleep
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// Payments in all
    #[arg(long, default_value_t = 5_000_000)]
    events: u32,
    /// Payments in a second, at most
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// Where the job keeps its checkpoints and its files
    #[arg(long, value_enum, default_value = "s3")]
    store: Store,
    /// The program `wasmill`
    #[arg(long)]
    program: PathBuf,
    /// The folder of `ledger.wasm`
    #[arg(long)]
    plugins: PathBuf,
    /// Where the job runs, in a folder of its own that is kept when something is wrong
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let Cli { seed, kills, events, rate, store, program, plugins, folder } = Cli::parse();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let options = Options { seed, kills, events, events_per_second: rate, store, program, plugins };
    let folder = folder.join(format!("seed-{seed}"));
    eprintln!("{}", options.command());
    match run(&options, &folder) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            eprintln!("It is all in {}. To see it again:\n\n    {}\n", folder.display(), options.command());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, folder: &Path) -> Result<wasmill_chaos::Report> {
    let kills = options.kills;
    ensure!(kills >= KILLS_MIN, "--kills {kills}: each named place wants one, so it is at least {KILLS_MIN}");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let report = wasmill_chaos::run(options, folder)?;
    fs::remove_dir_all(folder)?;
    Ok(report)
}
