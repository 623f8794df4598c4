use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{InterfaceId, Resolve, WorldItem, WorldKey};

use super::ToolchainError;

const PACKAGE: (&str, &str) = ("wasmill", "operator");
/// The interfaces with functions that an operator may import.
const IMPORTS: [&str; 2] = ["telemetry", "state"];
/// The interface that every operator exports.
const PLUGIN: &str = "plugin";

/// A component that keeps to the contract in `wit/`.
#[derive(Debug, Clone)]
pub struct Component {
    bytes: Vec<u8>,
    digest: String,
}

/// Why a module or component cannot be an operator.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error(
        "it imports {names}, and an operator may import nothing but the telemetry and the state of `wasmill:operator`: {advice}",
        names = quoted(.imports)
    )]
    Imports { imports: Vec<String>, advice: &'static str },

    #[error("it exports no `wasmill:operator/plugin`; write `wasmill_sdk::export!(process: YourOperator);` once")]
    NoPlugin,

    #[error("it cannot be made into a component: {0}")]
    Encoding(String),

    #[error("it is not a component: {0}")]
    NotAComponent(String),
}

impl Component {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// `sha256:` and 64 hexadecimal digits: the component's identity.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Puts the component at `path` in one step, unless it is there already.
    pub fn write(&self, path: &Path) -> Result<(), ToolchainError> {
        if std::fs::read(path).is_ok_and(|present| present == self.bytes) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| ToolchainError::io("create", folder, e))?;
        let partial = path.with_extension(format!("wasm.{}.partial", std::process::id()));
        let written = std::fs::File::create(&partial)
            .and_then(|mut file| file.write_all(&self.bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&partial, path));
        written.map_err(|e| {
            // Nothing more can be done about a partial file that cannot be removed either.
            let _ = std::fs::remove_file(&partial);
            ToolchainError::io("write", path, e)
        })
    }
}

/// Makes a core module, as rustc leaves it, into a component, and checks it against the contract.
pub fn encode(module: &[u8]) -> Result<Component, ContractError> {
    check_module_imports(module)?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .map_err(|e| ContractError::Encoding(format!("{e:#}")))?;
    check_contract(&bytes)?;
    let hash = Sha256::digest(&bytes);
    let hexadecimal: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Component { bytes, digest: format!("sha256:{hexadecimal}") })
}

/// Refuses a component that imports anything but telemetry and state (interfaces with only types do not count), or that
/// exports no plugin.
pub fn check_contract(component: &[u8]) -> Result<(), ContractError> {
    let not_a_component = |message: String| ContractError::NotAComponent(message);
    if !wasmparser::Parser::is_component(component) {
        return Err(not_a_component(
            "it is something else, perhaps a core module; `wasmill build` makes components".into(),
        ));
    }
    let decoded = wit_component::decode(component).map_err(|e| not_a_component(format!("{e:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(not_a_component("it is a WIT package".into()));
    };
    let world = &resolve.worlds[world];
    let foreign = world
        .imports
        .iter()
        .filter(|(_, item)| !is_allowed_import(&resolve, item))
        .map(|(key, _)| resolve.name_world_key(key));
    refuse(foreign.collect())?;
    let exports_plugin = world.exports.keys().any(|key| match key {
        WorldKey::Interface(id) => is_ours(&resolve, *id, PLUGIN),
        WorldKey::Name(_) => false,
    });
    if exports_plugin { Ok(()) } else { Err(ContractError::NoPlugin) }
}

fn is_allowed_import(resolve: &Resolve, item: &WorldItem) -> bool {
    match item {
        WorldItem::Interface { id, .. } => {
            resolve.interfaces[*id].functions.is_empty() || IMPORTS.iter().any(|name| is_ours(resolve, *id, name))
        }
        WorldItem::Function(_) => false,
        WorldItem::Type { .. } => true,
    }
}

fn is_ours(resolve: &Resolve, id: InterfaceId, name: &str) -> bool {
    let interface = &resolve.interfaces[id];
    let package = interface.package.map(|package| &resolve.packages[package].name);
    interface.name.as_deref() == Some(name)
        && package.is_some_and(|package| (package.namespace.as_str(), package.name.as_str()) == PACKAGE)
}

/// The encoder's own words for a stray core import are about linking; ours are about operators.
fn check_module_imports(module: &[u8]) -> Result<(), ContractError> {
    let mut foreign = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|e| ContractError::Encoding(e.to_string()))?;
        let wasmparser::Payload::ImportSection(imports) = payload else {
            continue;
        };
        for import in imports.into_imports() {
            let import = import.map_err(|e| ContractError::Encoding(e.to_string()))?;
            // Interfaces are judged on the component; `$root` and `[export]…` are the canonical ABI's.
            if !import.module.contains(['/', '$', '[']) {
                foreign.push(format!("{} {}", import.module, import.name));
            }
        }
    }
    refuse(foreign)
}

fn refuse(imports: Vec<String>) -> Result<(), ContractError> {
    let Some(first) = imports.first() else {
        return Ok(());
    };
    let advice = if first.starts_with("wasi") {
        "operators replay exactly, so they have no clock, files, network or randomness; build for \
         wasm32-unknown-unknown (`wasmill build` does), and take times from the context"
    } else if first.starts_with("env ") || first.starts_with("__wbindgen") {
        "some dependency calls C or JavaScript functions that do not exist here; `cargo tree` shows which one: \
         turn off the feature that needs them, or replace it"
    } else {
        "remove the dependency or `extern` block that brings it in"
    };
    Err(ContractError::Imports { imports, advice })
}

fn quoted(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (import "<module>" "<name>" (func)))`
    fn module_importing(module: &str, name: &str) -> Vec<u8> {
        let named = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let import = [&[1], &named(module)[..], &named(name), &[0, 0]].concat();
        let import_section = [&[2, u8::try_from(import.len()).unwrap()], &import[..]].concat();
        [&b"\0asm\x01\0\0\0"[..], &[1, 4, 1, 0x60, 0, 0], &import_section[..]].concat()
    }

    #[test]
    fn stray_imports_are_named_with_advice() {
        let of = |module: &str, name: &str| encode(&module_importing(module, name)).unwrap_err().to_string();
        let c = of("env", "abort");
        assert!(c.contains("`env abort`") && c.contains("cargo tree"), "{c}");
        let wasi = of("wasi_snapshot_preview1", "fd_write");
        assert!(wasi.contains("`wasi_snapshot_preview1 fd_write`") && wasi.contains("no clock"), "{wasi}");
    }

    #[test]
    fn a_module_without_the_sdk_is_no_operator() {
        assert!(matches!(encode(b"\0asm\x01\0\0\0"), Err(ContractError::NoPlugin)));
        assert!(matches!(encode(b"not wasm"), Err(ContractError::Encoding(_))));
        assert!(matches!(check_contract(b"\0asm\x01\0\0\0"), Err(ContractError::NotAComponent(_))));
    }

    #[test]
    fn written_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/a.wasm");
        let component = Component { bytes: vec![1, 2, 3], digest: String::new() };
        component.write(&path).unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        component.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
        assert_eq!(std::fs::read(&path).unwrap(), [1, 2, 3]);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
