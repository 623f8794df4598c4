use std::io;
use std::path::{Path, PathBuf};

/// Why a project could not be made into components; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    #[error("{path}: no Cargo.toml here; give the folder of a cargo project, or start one with `wasmill new NAME`")]
    NoProject { path: PathBuf },

    #[error("cannot run `{program}`: {source}; install Rust with rustup, and make sure that `{program}` is on PATH")]
    CannotRun { program: String, source: io::Error },

    #[error("`cargo metadata` failed for {path}:\n{message}")]
    Metadata { path: PathBuf, message: String },

    #[error("{path}: cannot read the workspace's profiles: {message}")]
    Manifest { path: PathBuf, message: String },

    #[error("no package `{name}` in {project}; it has: {}", list(.known))]
    UnknownPackage { name: String, project: PathBuf, known: Vec<String> },

    #[error(
        "package `{name}` is not an operator: it has no `cdylib` library; add to its Cargo.toml\n\n    [lib]\n    crate-type = [\"cdylib\"]\n"
    )]
    NotCdylib { name: String },

    #[error("{project}: none of its packages is an operator (a `cdylib` library); start one with `wasmill new NAME`")]
    NoOperatorPackages { project: PathBuf },

    #[error(
        "no Rust compiler here can build for wasm32-unknown-unknown. Any one of these lines is enough:\n\n{}\n{reason}",
        indented(.remedies)
    )]
    NoGuestToolchain { remedies: Vec<String>, reason: String },

    #[error("cargo could not build {}; its messages stand above", list(.packages))]
    BuildFailed { packages: Vec<String> },

    #[error("cargo built package `{package}` but named no .wasm file for it")]
    NoArtifact { package: String },

    #[error("package `{package}` is not a Wasmill operator: {reason}")]
    NotAnOperator { package: String, reason: String },

    #[error("`{name}` cannot name an operator project: use lower-case words joined by `-`, such as `spend-guard`")]
    BadName { name: String },

    #[error("{path} exists already; choose another name, or remove it")]
    Exists { path: PathBuf },

    #[error("{path} is not the SDK: it has no Cargo.toml; give the path of Wasmill's `guest-sdk` folder")]
    NoSdk { path: PathBuf },

    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl ToolchainError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}\n")).collect()
}
