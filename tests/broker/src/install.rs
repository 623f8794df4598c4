//! Apache Kafka from Maven Central, once for a machine.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The newest that runs on Java 17 and whose dependencies can all be had.
pub const VERSION: &str = "4.3.0";

const POM: &str = include_str!("../pom.xml");

/// Where its jars are: outside of the clone, so that the next clone finds them.
pub(crate) fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    cache.unwrap_or_else(home).join("wasmill").join(format!("kafka-{VERSION}"))
}

pub fn is_installed() -> bool {
    folder().is_dir()
}

/// Fetches the broker and its dependencies with Maven: 50 MB.
pub fn install() -> Result<()> {
    let unfinished = folder().with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
    let pom = unfinished.join("pom.xml");
    fs::write(&pom, POM)?;
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--file"]).arg(&pom).arg(format!("-Dkafka.version={VERSION}"));
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=."]);
    let output = maven.stdin(Stdio::null()).output().context("cannot run mvn (Debian's package `maven`)")?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&unfinished);
        bail!("mvn cannot fetch Apache Kafka {VERSION}: {}", String::from_utf8_lossy(&output.stdout).trim());
    }
    // Another process may have been quicker.
    if fs::rename(&unfinished, folder()).is_err() && !is_installed() {
        bail!("cannot create {}", folder().display());
    }
    let _ = fs::remove_dir_all(&unfinished);
    Ok(())
}
