use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{GUEST_TARGET, ToolchainError};

/// Overrides the search: `target` = only an installed target, `build-std` = only the distribution's compiler.
const CHOICE: &str = "WASMILL_GUEST_TOOLCHAIN";
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";
const GUEST_RUSTFLAGS: &str = "-Ctarget-feature=+simd128";

/// A way to compile Rust for [`GUEST_TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestToolchain {
    /// The project's own compiler has the target's standard library.
    Target,
    /// A Linux distribution's compiler comes with the standard library's source, from which cargo builds it.
    /// Distributions leave out the linker, so rustup's is lent to it.
    BuildStd { rustc: PathBuf, linker_folder: PathBuf },
}

impl GuestToolchain {
    /// Finds the first that works for the project in `folder`: its compiler's own target, the same after
    /// `rustup target add`, or the distribution's compiler and sources.
    pub fn find(folder: &Path) -> Result<Self, ToolchainError> {
        let choice = std::env::var(CHOICE).unwrap_or_default();
        if choice != "build-std" && has_target(folder)? {
            return Ok(Self::Target);
        }
        let mut refused = String::new();
        if choice.is_empty() {
            match add_target(folder) {
                Ok(()) if has_target(folder)? => return Ok(Self::Target),
                Ok(()) => {}
                Err(message) => refused = format!("`rustup target add {GUEST_TARGET}` said: {message}"),
            }
        }
        if choice != "target"
            && let Some(found) = Self::distribution(folder)
        {
            return Ok(found);
        }
        Err(ToolchainError::NoGuestToolchain { remedies: remedies(), reason: refused })
    }

    fn distribution(folder: &Path) -> Option<Self> {
        let rustc = PathBuf::from(DISTRIBUTION_RUSTC);
        let sysroot = query(Command::new(&rustc).args(["--print", "sysroot"])).ok()?;
        if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir() {
            return None;
        }
        let own = query(Command::new("rustc").args(["--print", "sysroot"]).current_dir(folder)).ok()?;
        let host = query(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(folder)).ok()?;
        let linker_folder = Path::new(&own).join("lib/rustlib").join(host).join("bin");
        linker_folder.join("rust-lld").is_file().then_some(Self::BuildStd { rustc, linker_folder })
    }

    /// Makes a `cargo build` compile for the guest with this toolchain. The user's own flags are kept.
    pub(super) fn configure(&self, cargo: &mut Command) {
        cargo.args(["--target", GUEST_TARGET]);
        append_rustflags(cargo);
        if let Self::BuildStd { rustc, linker_folder } = self {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(linker_folder.clone()).chain(std::env::split_paths(&path));
            cargo
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("PATH", std::env::join_paths(folders).unwrap_or(path));
        }
    }
}

/// Cargo reads the first of these variables that is set and ignores the others.
fn append_rustflags(cargo: &mut Command) {
    let (name, separator) = [("CARGO_ENCODED_RUSTFLAGS", "\u{1f}"), ("RUSTFLAGS", " ")]
        .into_iter()
        .find(|(name, _)| std::env::var_os(name).is_some())
        .unwrap_or(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", " "));
    let mut flags = std::env::var_os(name).unwrap_or_default();
    if !flags.is_empty() {
        flags.push(separator);
    }
    flags.push(GUEST_RUSTFLAGS);
    cargo.env(name, flags);
}

fn has_target(folder: &Path) -> Result<bool, ToolchainError> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    rustc.args(["--print", "target-libdir", "--target", GUEST_TARGET]).current_dir(folder);
    let printed = rustc.output().map_err(|source| ToolchainError::CannotRun { program: "rustc".into(), source })?;
    let Ok(libraries) = std::fs::read_dir(String::from_utf8_lossy(&printed.stdout).trim()) else {
        return Ok(false);
    };
    Ok(libraries.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

fn add_target(folder: &Path) -> Result<(), String> {
    query(Command::new("rustup").args(["target", "add", GUEST_TARGET]).current_dir(folder)).map(drop)
}

/// What a program prints, or the last line of its complaint.
fn query(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("(nothing)").trim().to_owned())
}

fn remedies() -> Vec<String> {
    let mut lines = vec![format!("rustup target add {GUEST_TARGET}")];
    if Path::new("/etc/debian_version").exists() {
        lines.push("sudo apt-get install -y rustc-web rust-web-src   # together with a Rust from rustup".into());
    }
    lines
}
