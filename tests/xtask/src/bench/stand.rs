//! The programs and files that cases need, made when a case first asks for them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::click_counts;
use crate::repo;
use crate::setup::{self, Need};

/// Our programs for Flink.
const PEER: &str = "tests/peers/flink";

/// Lines of the click file.
pub const CLICKS: u64 = 16_000_000;

pub struct Stand {
    wasmill: PathBuf,
    in_process: PathBuf,
    /// Inputs, kept from one run of the bench to the next
    data: PathBuf,
}

impl Stand {
    pub fn set_up() -> Result<Self> {
        setup::ensure(&[Need::NativeBuild, Need::GuestCompiler])?;
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        crate::plugins::build(&wasmill, &crate::plugins::all()?)?;
        let data = repo::root().join("target/bench");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        Ok(Self { wasmill, in_process: repo::program("wasmill-bench")?, data })
    }

    /// A command of `wasmill`, of a job in `tests/jobs`.
    pub fn wasmill(&self, command: &str, job: &str) -> Command {
        let mut wasmill = Command::new(&self.wasmill);
        wasmill.arg(command).arg(repo::root().join("tests/jobs").join(job));
        wasmill
    }

    /// Where the last run of a job says what it came to.
    pub fn report(&self) -> PathBuf {
        self.data.join("report.json")
    }

    /// Where the jobs' checkpoints go.
    pub fn checkpoints(&self) -> PathBuf {
        self.data.join("checkpoints")
    }

    pub fn forget_checkpoints(&self) -> Result<()> {
        for folder in [self.checkpoints(), self.state()] {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        Ok(())
    }

    /// RocksDB's working folders.
    pub fn state(&self) -> PathBuf {
        self.data.join("state")
    }

    /// `tests/jobs/count.toml` with the operator in plain Rust.
    pub fn native_count(&self) -> Command {
        let mut command = Command::new(&self.in_process);
        command.arg("count").arg(repo::root().join("tests/jobs/count.toml"));
        command
    }

    /// An operator in its sandbox beside the same source natively.
    pub fn boundary(&self, case: &str) -> Result<Command> {
        let mut command = Command::new(&self.in_process);
        command.arg("boundary").arg(repo::plugins_folder()).arg(case);
        Ok(command)
    }

    /// Topics of a broker, by a client that is not ours.
    pub fn topics(&self, brokers: &str) -> Command {
        let mut command = Command::new(&self.in_process);
        command.arg("topics").arg(brokers);
        command
    }

    pub fn plain_clicks(&self) -> Result<PathBuf> {
        repo::program("plain-clicks")
    }

    /// A path for one program's results, with nothing there.
    pub fn output(&self, name: &str) -> Result<PathBuf> {
        let path = self.data.join("out").join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        fs::create_dir_all(self.data.join("out")).context("cannot create the folder for results")?;
        Ok(path)
    }

    /// The 2 GB click file, generated once, and checked against its expected counts.
    pub fn clicks(&self) -> Result<PathBuf> {
        let file = self.data.join("clicks.jsonl");
        if file.exists() {
            return Ok(file);
        }
        let peers = repo::root().join(PEER);
        let generator = self.data.join("gen_clicks");
        repo::run(
            Command::new("rustc").arg("-O").arg(peers.join("src/clicks/gen_clicks.rs")).arg("-o").arg(&generator),
        )?;
        let partial = file.with_extension("partial");
        eprintln!("Generating {} (2 GB, once)", file.display());
        let counts = repo::read(Command::new(&generator).arg(CLICKS.to_string()).arg(&partial))?;
        self.expect_clicks(&counts)?;
        fs::rename(&partial, &file).with_context(|| format!("cannot rename {}", partial.display()))?;
        Ok(file)
    }

    /// Whether the counts of a job's last run are those of the click file.
    pub fn check_clicks(&self) -> Result<()> {
        self.expect_clicks(&click_counts::summary(&self.data.join("out/counts"))?)
    }

    pub fn expect_clicks(&self, counts: &str) -> Result<()> {
        let expected =
            fs::read_to_string(repo::root().join(PEER).join("clicks.expected")).context("clicks.expected")?;
        ensure!(
            expected.lines().next() == Some(counts),
            "the clicks count as `{counts}`, but {PEER}/clicks.expected says otherwise"
        );
        Ok(())
    }

    /// One run of our Flink programs, whose jars are fetched once, into the cache that their scripts have.
    pub fn flink(&self) -> Result<Command> {
        let peers = repo::root().join(PEER);
        let env = peers.join("bin/env.sh");
        let is_built = r#". "$0" && ls "$KAFKA" && [ -z "$(find "$HERE/src" -newer "$F/build/bench.jar" 2>&1)" ]"#;
        if repo::read(Command::new("bash").arg("-c").arg(is_built).arg(env)).is_err() {
            eprintln!(
                "Compiling our programs for Flink, to compare with; it is fetched first if it is not there (350 MB)."
            );
            repo::run(&mut Command::new(peers.join("bin/build.sh")))?;
        }
        Ok(Command::new(peers.join("bin/one.sh")))
    }
}
