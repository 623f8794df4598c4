//! The Python package of the server, in an environment of its own, once for a machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// A copy of what was installed, written last.
const INSTALLED: &str = "requirements.txt";

/// Outside of the clone, so that the next clone finds it.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache/wasmill/moto")
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

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} cannot install the S3 server of the tests ({status})");
    Ok(())
}
