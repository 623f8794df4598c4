//! Where things are in this repository, and running programs in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

pub const HOST_PACKAGE: &str = "wasmill";

pub fn root() -> PathBuf {
    // Two folders below the root; set by cargo at run time, so that a moved checkout or a shared target folder is right.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Components, always here: jobs and tests name them by this path.
pub fn plugins_folder() -> PathBuf {
    root().join("target/plugins")
}

/// What cargo builds, wherever the user told it to.
pub fn release_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join("release")
}

pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(root());
    // What cargo says of this program to it, some build scripts take for what it says to them: they would run again, and
    // half of the workspace with them.
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Builds a program of the workspace and says where it is.
pub fn program(name: &str) -> Result<PathBuf> {
    // With the features that the whole workspace has: for one package they are others, and wasmtime would be compiled
    // again.
    run(&mut cargo(&["build", "--release", "--workspace", "--bin", name]))?;
    Ok(release_folder().join(name))
}

/// A failed program's exit code, passed on.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    message: String,
}

impl Exit {
    pub fn new(code: u8, message: String) -> Self {
        Self { code, message }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

/// Runs a program with our terminal. Its failure is ours, with its exit code.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(Exit::new(code(status), format!("{} failed ({status})", shown(command))).into())
}

/// What a program prints.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed ({}): {}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
