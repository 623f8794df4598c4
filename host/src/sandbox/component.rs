//! A plugin: a component that was loaded, checked and compiled.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::model::id::{PluginDigest, Uid};
use crate::plan::descriptor::{OperatorInfo, OperatorKind};
use crate::plan::graph::PluginLimits;

use super::bindings::exports::wasmill::operator::{aggregate, plugin, process};
use super::bindings::wasmill::operator::{state, telemetry};
use super::describe::lift_info;
use super::engine::engine;
use super::store::{self, Host};

/// The contract that this host speaks.
const PACKAGE: &str = "wasmill:operator/";
const VERSION: &str = "0.1.0";

/// Of a component file.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub struct Plugin {
    pub digest: PluginDigest,
    pub bytes: usize,
    pub operators: Vec<OperatorInfo>,
    component: Component,
    trusted: bool,
}

/// Everything that it takes to make an instance for an operator of one kind.
pub struct Prepared {
    pub instance: InstancePre<Host>,
    pub plugin: plugin::GuestIndices,
}

impl Plugin {
    /// Loads a component, once for each file content and engine. The error says what is wrong, and what to do.
    pub fn load(path: &Path, trusted: bool) -> Result<Arc<Self>, String> {
        type Loaded = BTreeMap<(PluginDigest, bool), Arc<Plugin>>;
        static LOADED: OnceLock<Mutex<Loaded>> = OnceLock::new();
        let bytes = read(path)?;
        let digest = digest(&bytes);
        let loaded = LOADED.get_or_init(Mutex::default);
        let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = loaded.get(&(digest.clone(), trusted)) {
            return Ok(Arc::clone(plugin));
        }
        let plugin =
            Self::new(&bytes, digest.clone(), trusted).map_err(|error| format!("{}: {error}", path.display()))?;
        let plugin = Arc::new(plugin);
        loaded.insert((digest, trusted), Arc::clone(&plugin));
        Ok(plugin)
    }

    fn new(bytes: &[u8], digest: PluginDigest, trusted: bool) -> Result<Self, String> {
        check_header(bytes)?;
        let engine = engine(trusted).map_err(|error| format!("the sandbox does not start: {error:#}"))?;
        let component =
            Component::new(engine, bytes).map_err(|error| format!("it is not a valid component: {error:#}"))?;
        check_world(&component)?;
        let mut plugin = Self { digest, bytes: bytes.len(), operators: Vec::new(), component, trusted };
        plugin.operators = plugin.describe()?;
        Ok(plugin)
    }

    pub fn operator(&self, name: &str) -> Option<&OperatorInfo> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    /// An aggregate is pure: what it imports traps.
    pub fn prepare(&self, kind: OperatorKind) -> Result<Prepared, String> {
        let mut linker = Linker::<Host>::new(self.component.engine());
        let linked = match kind {
            OperatorKind::Process => telemetry::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)
                .and_then(|()| state::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)),
            OperatorKind::Aggregate => linker.define_unknown_imports_as_traps(&self.component),
        };
        let instance = linked.and_then(|()| linker.instantiate_pre(&self.component));
        let instance = instance.map_err(|error| format!("it does not fit {PACKAGE}*@{VERSION}: {error:#}"))?;
        let plugin = plugin::GuestIndices::new(&instance).map_err(|error| mismatch("plugin", &error))?;
        Ok(Prepared { instance, plugin })
    }

    fn describe(&self) -> Result<Vec<OperatorInfo>, String> {
        let prepared = self.prepare(OperatorKind::Process)?;
        let limits = PluginLimits { trusted: self.trusted, ..PluginLimits::default() };
        let described = || -> wasmtime::Result<_> {
            let mut store = store::new(&Uid::from("describe"), limits)?;
            let instance = prepared.instance.instantiate(&mut store)?;
            let guest = prepared.plugin.load(&mut store, &instance)?;
            guest.call_describe(&mut store)
        };
        let described = described().map_err(|error| format!("`describe` failed: {error:#}"))?;
        let operators = described.into_iter().map(lift_info).collect::<Result<Vec<_>, _>>()?;
        for operator in &operators {
            let missing = match operator.kind {
                OperatorKind::Process => process::GuestIndices::new(&prepared.instance).err(),
                OperatorKind::Aggregate => aggregate::GuestIndices::new(&prepared.instance).err(),
            };
            if let Some(error) = missing {
                return Err(format!("operator `{}`: {}", operator.name, mismatch("its interface", &error)));
            }
        }
        Ok(operators)
    }
}

fn mismatch(interface: &str, error: &wasmtime::Error) -> String {
    format!("{interface} does not fit {PACKAGE}*@{VERSION}; rebuild it with this version's SDK: {error:#}")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| {
        format!("{}: {error}; `wasmill build` makes a component of an operator project", path.display())
    })?;
    if length.len() > FILE_BYTES_MAX {
        return Err(format!("{} has {} bytes; a component has at most {FILE_BYTES_MAX}", path.display(), length.len()));
    }
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

pub fn digest(bytes: &[u8]) -> PluginDigest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    PluginDigest::from(format!("sha256:{hex}").as_str())
}

/// The first bytes tell a component, a core module and anything else apart.
fn check_header(bytes: &[u8]) -> Result<(), String> {
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', ..] => Err("it is a core module, not a component: make one with `wasmill build`".into()),
        _ => Err("it is not a WebAssembly component: make one with `wasmill build`".into()),
    }
}

fn check_world(component: &Component) -> Result<(), String> {
    let engine = component.engine();
    let ty = component.component_type();
    for (name, _) in ty.imports(engine) {
        let Some(interface) = name.strip_prefix(PACKAGE) else {
            return Err(format!(
                "it imports `{name}`, and operators have nothing but {PACKAGE}*: build it with `wasmill build`, \
                 for wasm32-unknown-unknown, without crates that need an operating system"
            ));
        };
        check_version(name, interface)?;
    }
    let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    for export in &exports {
        if let Some(interface) = export.strip_prefix(PACKAGE) {
            check_version(export, interface)?;
        }
    }
    if !exports.iter().any(|export| *export == format!("{PACKAGE}plugin@{VERSION}")) {
        let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(format!("it is not an operator: it exports {found}, not {PACKAGE}plugin@{VERSION}"));
    }
    Ok(())
}

fn check_version(name: &str, interface: &str) -> Result<(), String> {
    match interface.split_once('@') {
        Some((_, VERSION)) => Ok(()),
        _ => Err(format!("it speaks `{name}`, this host {VERSION}: rebuild it with this version's SDK")),
    }
}
