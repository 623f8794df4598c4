//! The server that speaks S3 for the tests: a Python package, in an environment of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo;

/// Where `tests/src/s3/server.rs` looks.
fn folder() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".cache/wasmill/moto"))
}

/// Installs the packages that `tests/src/s3/requirements.txt` says, unless they are there.
pub fn ensure() -> Result<()> {
    let folder = folder()?;
    let requirements = repo::root().join("tests/src/s3/requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    // A copy of what was installed, written last.
    let installed = folder.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("Installing an S3 server for the tests into {}: {}", folder.display(), wanted.trim());
    repo::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    repo::run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&requirements))?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}
