use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{GuestToolchain, ToolchainError};

/// A cargo package or workspace.
#[derive(Debug)]
pub(super) struct Project {
    manifest: PathBuf,
    folder: PathBuf,
    metadata: Metadata,
}

/// What rustc made of an operator package.
#[derive(Debug)]
pub(super) struct CoreModule {
    pub package: String,
    pub path: PathBuf,
    pub warning: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Target {
    fn is_cdylib(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }

    /// Cargo optimises a whole program only where nothing else is to be linked with it.
    fn has_no_lto(&self) -> bool {
        self.is_cdylib() && self.crate_types.iter().any(|kind| kind != "cdylib")
    }
}

impl Package {
    fn is_operator(&self) -> bool {
        self.targets.iter().any(Target::is_cdylib)
    }

    /// What makes its component slower than it need be, and what to change.
    fn warning(&self) -> Option<String> {
        let target = self.targets.iter().find(|target| target.has_no_lto())?;
        Some(format!(
            "package `{}`: its crate-type is {:?}, so cargo leaves whole-program optimisation out, and the operator takes \
             some 10 ns more for each event. Write `crate-type = [\"cdylib\"]` in {}: unit tests need no other; what \
             others link belongs into a package of its own",
            self.name,
            target.crate_types,
            self.manifest_path.display()
        ))
    }
}

impl Project {
    /// `path` is a folder with a `Cargo.toml`, or that file.
    pub fn load(path: &Path) -> Result<Self, ToolchainError> {
        let missing = || ToolchainError::NoProject { path: path.to_owned() };
        let manifest = if path.is_dir() { path.join("Cargo.toml") } else { path.to_owned() };
        let manifest = manifest.canonicalize().map_err(|_| missing())?;
        let folder = manifest.parent().ok_or_else(missing)?.to_owned();
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .current_dir(&folder)
            .output()
            .map_err(|source| ToolchainError::CannotRun { program: "cargo".into(), source })?;
        let failed = |message: String| ToolchainError::Metadata { path: manifest.clone(), message };
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let metadata = serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))?;
        Ok(Self { manifest, folder, metadata })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The packages of these names; for no names the one whose manifest this is, or else all operators below it.
    pub fn operator_packages(&self, names: &[String]) -> Result<Vec<&Package>, ToolchainError> {
        let all = &self.metadata.packages;
        let chosen: Vec<&Package> = if names.is_empty() {
            match all.iter().find(|package| package.manifest_path == self.manifest) {
                Some(package) => vec![package],
                None => all
                    .iter()
                    .filter(|package| package.is_operator() && package.manifest_path.starts_with(&self.folder))
                    .collect(),
            }
        } else {
            names.iter().map(|name| self.package(name)).collect::<Result<_, _>>()?
        };
        if chosen.is_empty() {
            return Err(ToolchainError::NoOperatorPackages { project: self.folder.clone() });
        }
        match chosen.iter().find(|package| !package.is_operator()) {
            Some(package) => Err(ToolchainError::NotCdylib { name: package.name.clone() }),
            None => Ok(chosen),
        }
    }

    fn package(&self, name: &str) -> Result<&Package, ToolchainError> {
        let all = &self.metadata.packages;
        all.iter().find(|package| package.name == name).ok_or_else(|| ToolchainError::UnknownPackage {
            name: name.to_owned(),
            project: self.folder.clone(),
            known: all.iter().filter(|p| p.is_operator()).map(|p| p.name.clone()).collect(),
        })
    }

    fn has_guest_profile(&self) -> Result<bool, ToolchainError> {
        let path = self.metadata.workspace_root.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| ToolchainError::io("read", &path, e))?;
        let manifest: toml::Table =
            text.parse().map_err(|e: toml::de::Error| ToolchainError::Manifest { path, message: e.to_string() })?;
        Ok(manifest.get("profile").and_then(|profiles| profiles.get("guest")).is_some())
    }
}

/// Compiles packages for the guest, in a target folder of its own, so that the host's builds stay fresh.
///
/// The profile is the workspace's `guest`, or else `release` with whole-program optimisation.
pub(super) fn build(
    project: &Project,
    packages: &[&Package],
    toolchain: &GuestToolchain,
) -> Result<Vec<CoreModule>, ToolchainError> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--lib", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(&project.manifest)
        .arg("--target-dir")
        .arg(project.metadata.target_directory.join("guest"))
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for package in packages {
        cargo.args(["--package", &package.id]);
    }
    if project.has_guest_profile()? {
        cargo.args(["--profile", "guest"]);
    } else {
        cargo.arg("--release").envs([
            ("CARGO_PROFILE_RELEASE_LTO", "fat"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
            ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
        ]);
    }
    toolchain.configure(&mut cargo);
    let output = cargo.output().map_err(|source| ToolchainError::CannotRun { program: "cargo".into(), source })?;
    if !output.status.success() {
        return Err(ToolchainError::BuildFailed { packages: packages.iter().map(|p| p.name.clone()).collect() });
    }
    let artifacts = artifacts(&output.stdout);
    packages
        .iter()
        .map(|package| {
            let path = artifacts.iter().find(|artifact| artifact.package_id == package.id).and_then(Artifact::module);
            let path = path.ok_or_else(|| ToolchainError::NoArtifact { package: package.name.clone() })?;
            Ok(CoreModule { package: package.name.clone(), path, warning: package.warning() })
        })
        .collect()
}

#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    target: Target,
    filenames: Vec<PathBuf>,
}

impl Artifact {
    fn module(&self) -> Option<PathBuf> {
        self.filenames.iter().find(|file| file.extension().is_some_and(|e| e == "wasm")).cloned()
    }
}

/// The dynamic libraries among cargo's messages, one JSON object a line.
fn artifacts(messages: &[u8]) -> Vec<Artifact> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| artifact.target.is_cdylib())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(crate_types: &[&str]) -> Package {
        let targets = vec![Target { crate_types: crate_types.iter().map(|kind| (*kind).to_owned()).collect() }];
        Package { id: "1".into(), name: "guard".into(), manifest_path: "guard/Cargo.toml".into(), targets }
    }

    #[test]
    fn a_library_beside_the_component_costs_its_optimisation() {
        let warning = package(&["cdylib", "rlib"]).warning().unwrap();
        for part in ["`guard`", "[\"cdylib\", \"rlib\"]", "crate-type = [\"cdylib\"]", "guard/Cargo.toml"] {
            assert!(warning.contains(part), "`{part}` is missing in: {warning}");
        }
        assert_eq!(package(&["cdylib"]).warning(), None);
    }
}
