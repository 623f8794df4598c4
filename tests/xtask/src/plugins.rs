use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::repo;
use crate::setup::{self, Need};

/// Build the operators in plugins/ into target/plugins/
#[derive(Debug, Args)]
pub struct Plugins {
    /// Packages [default: all of them]
    packages: Vec<String>,
}

impl Plugins {
    pub fn run(self) -> Result<()> {
        setup::ensure(&[Need::NativeBuild, Need::GuestCompiler])?;
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        let packages = if self.packages.is_empty() { all()? } else { self.packages };
        build(&wasmill, &packages)
    }
}

/// The workspace's packages below `plugins/`.
pub fn all() -> Result<Vec<String>> {
    let metadata = repo::read(&mut repo::cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let folder = repo::root().join("plugins");
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let below = packages.filter(|p| p["manifest_path"].as_str().is_some_and(|m| Path::new(m).starts_with(&folder)));
    let names: Vec<String> = below.filter_map(|p| p["name"].as_str()).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("the workspace has no package below {}", folder.display());
    }
    Ok(names)
}

/// Cargo knows what is up to date.
pub fn build(wasmill: &Path, packages: &[String]) -> Result<()> {
    let mut command = Command::new(wasmill);
    command.arg("build").arg(repo::root()).arg("--out").arg(repo::plugins_folder());
    for package in packages {
        command.args(["--package", package]);
    }
    repo::run(&mut command)
}
