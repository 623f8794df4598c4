//! What the other commands need on this machine, installed when it is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use wasmill_s3::{minio, moto};

use crate::repo::{self, Exit};

const GUEST_TARGET: &str = "wasm32-unknown-unknown";
const NO_ROOT_CODE: u8 = 2;
/// What Kafka 4 runs on.
const JAVA_VERSION_MIN: u32 = 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What RocksDB and librdkafka, which come as C and C++, are built with
    NativeBuild,
    /// A Rust compiler for the sandbox's target
    GuestCompiler,
    /// Python 3, for the independent oracle and the S3 server
    Python,
    /// Java 17 or newer, for a Kafka broker
    Java,
    /// Maven, which fetches the broker
    Maven,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::NativeBuild => has_native_build(),
            Self::GuestCompiler => has_guest_target() || has_distribution_sources(),
            Self::Python => succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])),
            Self::Java => java_version().is_some_and(|version| version >= JAVA_VERSION_MIN),
            Self::Maven => wasmill_broker::is_installed() || succeeds(Command::new("mvn").arg("--version")),
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::NativeBuild => &["build-essential", "libclang-dev", "libssl-dev", "pkg-config", "zlib1g-dev"],
            Self::GuestCompiler => &["rustc-web", "rust-web-src"],
            Self::Python => &["python3", "python3-venv"],
            Self::Java => &["default-jre-headless"],
            Self::Maven => &["maven"],
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::NativeBuild => "to compile RocksDB and librdkafka",
            Self::GuestCompiler => "to compile operators for the WebAssembly sandbox",
            Self::Python => "to run the independent oracle and the S3 server that the tests use",
            Self::Java => "to run an Apache Kafka broker",
            Self::Maven => "to fetch an Apache Kafka broker",
        }
    }
}

/// Makes sure that all `needs` are met: silently when they are, else with one sentence on what it installs and why.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let mut missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    if missing.contains(&Need::GuestCompiler) && add_guest_target() {
        missing.retain(|&need| need != Need::GuestCompiler);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    let reasons: Vec<&str> = missing.iter().map(|need| need.reason()).collect();
    let (packages, reasons) = (packages.join(" "), reasons.join(" and "));
    let advice = if !Path::new("/etc/debian_version").exists() {
        format!("this machine has no `{packages}` (Debian's names), needed {reasons}; install them, then try again")
    } else if !is_root() {
        let line = format!("sudo apt-get install -y {packages}");
        format!("this machine has no `{packages}`, needed {reasons}; run this line, then try again:\n\n    {line}\n")
    } else {
        eprintln!("Installing {packages} with apt-get, {reasons}.");
        return install(&packages);
    };
    Err(Exit::new(NO_ROOT_CODE, advice).into())
}

/// Makes sure that an Apache Kafka broker can be started.
pub fn ensure_kafka() -> Result<()> {
    ensure(&[Need::Java, Need::Maven])?;
    if !wasmill_broker::is_installed() {
        eprintln!("Fetching Apache Kafka {} with Maven (50 MB), to have a real broker.", wasmill_broker::VERSION);
        wasmill_broker::install()?;
    }
    Ok(())
}

/// Makes sure that a server that speaks S3 can be started.
pub fn ensure_s3() -> Result<()> {
    ensure(&[Need::Python])?;
    if !moto::is_installed() {
        eprintln!("Installing an S3 server for the tests into ~/.cache/wasmill: {}", moto::REQUIREMENTS.trim());
        moto::install()?;
    }
    Ok(())
}

/// Makes sure that MinIO can be started.
pub fn ensure_minio() -> Result<()> {
    if !minio::is_installed() {
        let advice = "this machine has no Go compiler, which builds MinIO: install a current one, then try again";
        anyhow::ensure!(succeeds(Command::new("go").arg("version")), advice);
        eprintln!(
            "Building MinIO from source into ~/.cache/wasmill, which takes some minutes, to have a real object store."
        );
        minio::install()?;
    }
    Ok(())
}

fn install(packages: &str) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdin(Stdio::null());
        apt
    };
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages.split(' '));
    // The package lists may be old or absent; fetching them takes longer than trying.
    if succeeds(&mut apt(&arguments)) {
        return Ok(());
    }
    repo::run(&mut apt(&["update", "-qq"]))?;
    repo::run(&mut apt(&arguments))
}

fn has_native_build() -> bool {
    let has = |program: &str| succeeds(Command::new(program).arg("--version"));
    has("c++")
        && has("make")
        && succeeds(Command::new("pkg-config").args(["--exists", "openssl", "zlib"]))
        && has_libclang()
}

/// Where bindgen looks for it.
fn has_libclang() -> bool {
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let versions =
        versions.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm")));
    let is_libclang = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("libclang.so");
    let holds = |folder: std::path::PathBuf| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().any(|file| is_libclang(&file.file_name()))
    };
    std::env::var_os("LIBCLANG_PATH").is_some() || versions.map(|version| version.join("lib")).any(holds)
}

fn has_guest_target() -> bool {
    let query = ["--print", "target-libdir", "--target", GUEST_TARGET];
    let Ok(folder) = repo::read(Command::new("rustc").args(query).current_dir(repo::root())) else { return false };
    let Ok(libraries) = std::fs::read_dir(folder) else { return false };
    libraries.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}

fn add_guest_target() -> bool {
    if !succeeds(Command::new("rustup").arg("--version")) {
        return false;
    }
    eprintln!("Installing Rust's {GUEST_TARGET} library with rustup, {}.", Need::GuestCompiler.reason());
    succeeds(Command::new("rustup").args(["target", "add", GUEST_TARGET]).current_dir(repo::root()))
        && has_guest_target()
}

/// `wasmill build` can build the standard library from these.
fn has_distribution_sources() -> bool {
    let sysroot = repo::read(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]));
    sysroot.is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir())
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`.
fn java_version() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    said.split('"').nth(1)?.split('.').next()?.parse().ok()
}

fn is_root() -> bool {
    repo::read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// Whether tests may have a file system of their own: not even root may everywhere.
pub fn can_mount() -> bool {
    let folder = repo::root().join("target/tests/mounted");
    let tmpfs = |folder: &Path| succeeds(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(folder));
    let can = std::fs::create_dir_all(&folder).is_ok() && tmpfs(&folder);
    can && succeeds(Command::new("umount").arg(folder))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
