//! From a cargo project to operator components: find a compiler for the guest target, build, componentize, check.

mod cargo;
mod component;
mod error;
mod guest;
mod scaffold;

use std::path::{Path, PathBuf};

pub use component::{Component, ContractError, check_contract, encode};
pub use error::ToolchainError;
pub use guest::GuestToolchain;
pub use scaffold::{SdkSource, Template, scaffold};

use cargo::Project;

/// The target that operators are compiled for: no WASI, so no clock, no randomness, no files.
pub const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// What to build, and where to put it.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// A cargo package or workspace: its folder, or its `Cargo.toml`.
    pub project: PathBuf,
    /// Packages by name. Empty = the package at `project`, or every operator package of the workspace there.
    pub packages: Vec<String>,
    /// The folder that gets one `<package>.wasm` for each package. `None` = the project's folder.
    pub out: Option<PathBuf>,
}

/// A component that was built and written.
#[derive(Debug, Clone)]
pub struct Built {
    pub package: String,
    pub path: PathBuf,
    pub component: Component,
    /// What the project could do better.
    pub warning: Option<String>,
}

/// Builds operator packages into components.
///
/// Each file appears whole or not at all, and is left untouched when its content is already right. Cargo's own
/// progress and diagnostics go to stderr.
pub fn build(request: &BuildRequest) -> Result<Vec<Built>, ToolchainError> {
    let project = Project::load(&request.project)?;
    let packages = project.operator_packages(&request.packages)?;
    let toolchain = GuestToolchain::find(project.folder())?;
    let modules = cargo::build(&project, &packages, &toolchain)?;
    let out = request.out.as_deref().unwrap_or(project.folder());
    modules.into_iter().map(|module| componentize(module, out)).collect()
}

fn componentize(module: cargo::CoreModule, out: &Path) -> Result<Built, ToolchainError> {
    let bytes = std::fs::read(&module.path).map_err(|e| ToolchainError::io("read", &module.path, e))?;
    let component = component::encode(&bytes)
        .map_err(|e| ToolchainError::NotAnOperator { package: module.package.clone(), reason: e.to_string() })?;
    let path = out.join(format!("{}.wasm", module.package));
    component.write(&path)?;
    Ok(Built { package: module.package, path, component, warning: module.warning })
}
