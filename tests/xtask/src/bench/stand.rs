//! The programs and files that cases need, made when a case first asks for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::repo;
use crate::setup::{self, Need};

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
        setup::ensure(&[Need::GuestCompiler])?;
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        crate::plugins::build(&wasmill, &crate::plugins::all()?)?;
        let data = repo::root().join("target/bench");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        Ok(Self { wasmill, in_process: repo::program("wasmill-bench")?, data })
    }

    /// `wasmill run` of a job in `tests/jobs`.
    pub fn wasmill(&self, job: &str) -> Command {
        let mut command = Command::new(&self.wasmill);
        command.arg("run").arg(repo::root().join("tests/jobs").join(job));
        command
    }

    /// An operator in its sandbox beside the same source natively.
    pub fn boundary(&self, case: &str) -> Result<Command> {
        let mut command = Command::new(&self.in_process);
        command.arg("boundary").arg(repo::plugins_folder()).arg(case);
        Ok(command)
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
        let peers = repo::root().join("tests/peers/flink");
        let generator = self.data.join("gen_clicks");
        repo::run(
            Command::new("rustc").arg("-O").arg(peers.join("src/clicks/gen_clicks.rs")).arg("-o").arg(&generator),
        )?;
        let partial = file.with_extension("partial");
        eprintln!("Generating {} (2 GB, once)", file.display());
        let counts = repo::read(Command::new(&generator).arg(CLICKS.to_string()).arg(&partial))?;
        let expected = fs::read_to_string(peers.join("clicks.expected")).context("clicks.expected")?;
        if expected.lines().next() != Some(counts.as_str()) {
            bail!("the generated clicks count as `{counts}`, but tests/peers/flink/clicks.expected says otherwise");
        }
        fs::rename(&partial, &file).with_context(|| format!("cannot rename {}", partial.display()))?;
        Ok(file)
    }

    /// One run of our Flink programs, whose jars are fetched once.
    pub fn flink(&self) -> Result<Command> {
        let bin = repo::root().join("tests/peers/flink/bin");
        let scratch = self.data.join("flink");
        if !scratch.join("build/bench.jar").exists() {
            eprintln!("Fetching Flink (330 MB) and compiling our programs for it, to compare with.");
            fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
            repo::run(&mut with_scratch(&bin.join("build.sh"), &scratch))?;
        }
        Ok(with_scratch(&bin.join("one.sh"), &scratch))
    }
}

fn with_scratch(script: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(script);
    command.env("FLINK_BENCH", scratch);
    command
}
