//! The layers of `host/ARCHITECTURE.md`, held against the code: arrows point down, and what a layer must not know it
//! does not name.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of `host/src` by layer; those of one layer do not know each other either.
const LAYERS: &[(&str, u8)] = &[
    ("model", 0),
    ("plan", 1),
    ("state", 1),
    ("dataplane", 2),
    ("store", 2),
    ("sandbox", 3),
    ("connectors", 3),
    ("storage", 3),
    ("toolchain", 3),
    ("worker", 4),
    ("control", 5),
    ("cli", 6),
];

/// What only some folders may name, and those folders, or parts of them.
const CONFINED: &[(&str, &[&str])] = &[
    ("wasmtime::", &["sandbox"]),
    ("tokio::", &["store", "control", "cli"]),
    ("object_store::", &["store"]),
    ("use rocksdb::", &["storage/rocksdb"]),
    ("clap::", &["cli"]),
    ("std::fs", &["sandbox", "connectors", "storage/rocksdb", "store", "toolchain", "control/socket", "cli"]),
    ("std::net", &["connectors", "control"]),
    ("std::thread", &["sandbox", "connectors", "worker", "control", "cli"]),
    ("std::sync::Mutex", &["sandbox", "connectors", "control"]),
    ("Instant", &["sandbox", "connectors", "worker", "control", "cli"]),
    ("SystemTime", &["connectors", "worker", "control", "cli"]),
    ("thread_rng", &[]),
    ("HashMap::new()", &["sandbox", "connectors", "toolchain", "cli", "control"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn host_source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

/// Lines of code: neither comments nor what stands behind `#[cfg(test)]`.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]").filter(|(_, line)| !line.trim().starts_with("//"))
}

fn each_line(mut check: impl FnMut(&str, &str, &str)) {
    let root = host_source();
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let inner = file.strip_prefix(&root).unwrap();
        let folder = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        if !LAYERS.iter().any(|(name, _)| *name == folder) {
            assert!(["lib.rs", "main.rs"].contains(&folder), "{} is in no layer", inner.display());
            continue;
        }
        if inner.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests")) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            check(folder, &format!("{}:{number}", inner.display()), line);
        }
    }
}

#[test]
fn arrows_point_down() {
    let layer = |folder: &str| LAYERS.iter().find(|(name, _)| *name == folder).map(|(_, layer)| *layer);
    let mut wrong = Vec::new();
    each_line(|folder, place, line| {
        for used in line.split("crate::").skip(1) {
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let Some(to) = layer(used) else { continue };
            let from = layer(folder).unwrap();
            if used != folder && to >= from {
                wrong.push(format!("{place}: `{folder}` (layer {from}) uses `{used}` (layer {to})"));
            }
        }
    });
    // The two halves of layer 1: state's backends are sized by what descriptors say, not the other way round.
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_confined_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    each_line(|_, place, line| {
        for (name, allowed) in CONFINED {
            let is_allowed = allowed.iter().any(|folder| place.starts_with(&format!("{folder}/")));
            if line.contains(name) && !is_allowed {
                wrong.push(format!("{place}: `{name}` belongs in {allowed:?}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
