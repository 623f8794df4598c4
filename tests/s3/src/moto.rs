//! Moto: a Python package in an environment of its own, installed once for a machine. It keeps everything in memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{Server, cache, run};

pub const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// A copy of what was installed, written last.
const INSTALLED: &str = "requirements.txt";

fn folder() -> PathBuf {
    cache().join("moto")
}

pub fn is_installed() -> bool {
    fs::read_to_string(folder().join(INSTALLED)).is_ok_and(|installed| installed == REQUIREMENTS)
}

/// Fetches what `requirements.txt` says.
pub fn install() -> Result<()> {
    let folder = folder();
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS).with_context(|| format!("cannot write {}", wanted.display()))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&wanted))?;
    fs::rename(&wanted, folder.join(INSTALLED)).with_context(|| format!("cannot write {}", wanted.display()))
}

pub fn start() -> Result<Server> {
    ensure!(is_installed(), "the S3 server of the tests is not installed: run `cargo xtask test`");
    let mut python = Command::new(folder().join("bin/python"));
    python.arg("-c").arg(include_str!("../server.py"));
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = python.spawn().context("cannot run python")?;
    let mut port = String::new();
    BufReader::new(process.stdout.take().context("it has a pipe")?).read_line(&mut port)?;
    let port = port.trim().parse().context("the S3 server does not say its port")?;
    Ok(Server::at(port, process))
}
