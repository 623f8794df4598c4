//! What is in a job's place, and what is in a checkpoint, for people.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::dataplane::snapshot::SourceSplit;
use crate::model::decision::ManifestRef;
use crate::model::fault::Fault;
use crate::plan::descriptor::StateKind;
use crate::plan::location::Location;
use crate::state::StateLayout;
use crate::state::snapshot::{ChunkId, Content};
use crate::storage::decisions;
use crate::storage::manifest::{FieldRecord, Kind, MANIFEST, Manifest, NativeRecord, NodeRecord, Shape, StateRecord};
use crate::store::Store;

use super::reading::WINDOWS;
use super::record::{CHECKPOINTS, SAVEPOINTS};
use super::restore::Origin;

/// The place of a job in a location; `None` = it never started there.
pub fn job_place(location: &Location, job: &str) -> Result<Option<Store>, Fault> {
    Ok(Store::open_existing(location)?.map(|store| store.under(job)))
}

/// A checkpoint or savepoint in its job's place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    pub checkpoint: u64,
    pub kind: Kind,
    /// Microseconds since 1970.
    pub created: i64,
    /// Of all files that it names.
    pub bytes: u64,
    pub is_finished: bool,
    /// The job goes on from it.
    pub is_last: bool,
    /// Its folder or URL.
    pub path: String,
}

/// Those that a place holds, by number; savepoints elsewhere are not among them, but the one that the job goes on from.
pub fn list(place: &Store) -> Result<Vec<Listed>, Fault> {
    let last = decisions::last(place)?;
    let last = last.as_ref().and_then(|(_, record)| record.decision.state()).map(|reference| reference.path.as_str());
    let mut listed = Vec::new();
    for prefix in [CHECKPOINTS, SAVEPOINTS] {
        for key in place.list(prefix)?.into_iter().filter(|key| key.ends_with(&format!("/{MANIFEST}"))) {
            let Some(bytes) = place.get(&key)? else { continue };
            let manifest = Manifest::parse(&bytes, &place.name_of(&key))?;
            let is_last = last == Some(&key);
            let folder = ManifestRef { path: key, sha256: String::new() };
            listed.push(entry(&manifest, place.name_of(folder.folder()), is_last));
        }
    }
    if last.is_some()
        && listed.iter().all(|entry| !entry.is_last)
        && let Some(origin) = Origin::latest(place)?
    {
        listed.push(entry(&origin.manifest, origin.path(), true));
    }
    listed.sort_by_key(|entry| entry.checkpoint);
    Ok(listed)
}

fn entry(manifest: &Manifest, path: String, is_last: bool) -> Listed {
    Listed {
        checkpoint: manifest.checkpoint,
        kind: manifest.kind,
        created: manifest.created,
        bytes: manifest.bytes(),
        is_finished: manifest.is_finished,
        is_last,
        path,
    }
}

/// A checkpoint of a job: the one with this number or, without, the one that the job goes on from.
pub fn find(place: Option<&Store>, number: Option<u64>, job: &str) -> Result<Origin, Fault> {
    let none = || Fault::invalid(format!("the job `{job}` has no checkpoint yet"));
    let place = place.ok_or_else(none)?;
    match number {
        None => Origin::latest(place)?.ok_or_else(none),
        Some(number) => {
            let listed = list(place)?;
            match listed.iter().rfind(|entry| entry.checkpoint == number) {
                Some(entry) => Origin::named(&entry.path),
                None => {
                    let known: Vec<String> = listed.iter().map(|entry| entry.checkpoint.to_string()).collect();
                    Err(Fault::invalid(format!(
                        "the job `{job}` has no checkpoint {number}: there are {}",
                        known.join(", ")
                    )))
                }
            }
        }
    }
}

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contents {
    #[serde(flatten)]
    pub checkpoint: Listed,
    pub job: String,
    pub job_id: String,
    /// Which start of the job made it.
    pub incarnation: u64,
    pub wasmill: String,
    pub format: u32,
    pub max_parallelism: u16,
    pub files: usize,
    pub nodes: Vec<NodeContents>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeContents {
    pub uid: String,
    pub kind: &'static str,
    /// Microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<FieldRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<StateContents>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SourceSplit>,
    /// What a sink had prepared and this checkpoint made visible.
    pub committables: usize,
}

/// State that is kept together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateContents {
    /// Such as `count: u64`.
    pub names: Vec<String>,
    pub content: &'static str,
    /// That have any of it.
    pub key_groups: usize,
    /// Unknown of a backend's own files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    pub bytes: u64,
}

/// Reads the indices of the files of state, not the state.
pub fn contents(origin: &Origin) -> Result<Contents, Fault> {
    let manifest = &origin.manifest;
    let nodes = manifest.nodes.iter().map(|node| node_contents(origin, node));
    Ok(Contents {
        checkpoint: entry(manifest, origin.path(), false),
        job: manifest.job.clone(),
        job_id: manifest.job_id.to_string(),
        incarnation: manifest.incarnation,
        wasmill: manifest.wasmill.clone(),
        format: manifest.format,
        max_parallelism: manifest.max_parallelism,
        files: manifest.files().count(),
        nodes: nodes.collect::<Result<_, _>>()?,
    })
}

fn node_contents(origin: &Origin, node: &NodeRecord) -> Result<NodeContents, Fault> {
    let (kind, key) = match &node.shape {
        Shape::Source { .. } => ("source", Vec::new()),
        Shape::Process { key, .. } => ("process", key.clone()),
        Shape::Window { key, .. } => ("window", key.clone()),
        Shape::Sink => ("sink", Vec::new()),
    };
    let mut sizes: BTreeMap<Content, (BTreeSet<u16>, u64, u64)> = BTreeMap::new();
    for slot in &origin.chunks(node, 0..origin.manifest.max_parallelism)?.chunks {
        for placed in slot.placed().filter(|placed| is_current(&placed.id, &origin.manifest)) {
            let (groups, entries, bytes) = sizes.entry(placed.id.content).or_default();
            groups.insert(placed.id.group.0);
            *entries += u64::from(placed.entries);
            *bytes += placed.bytes;
        }
    }
    let state = sizes.into_iter().map(|(content, (groups, entries, bytes))| StateContents {
        names: names(&node.shape, content),
        content: describe(content),
        key_groups: groups.len(),
        entries: Some(entries),
        bytes,
    });
    Ok(NodeContents {
        uid: node.uid.as_str().to_owned(),
        kind,
        watermark: node.watermark,
        key,
        state: state.chain(native_contents(node)).collect(),
        splits: node.splits.clone(),
        committables: node.committables.len(),
    })
}

/// What stands in RocksDB's own files.
fn native_contents(node: &NodeRecord) -> Option<StateContents> {
    let native: Vec<&NativeRecord> = node.slots.iter().filter_map(|slot| slot.native.as_ref()).collect();
    let Shape::Process { states, .. } = &node.shape else { return None };
    (!native.is_empty()).then(|| StateContents {
        names: states.iter().map(describe_state).collect(),
        content: "in RocksDB's files",
        key_groups: native.iter().map(|native| native.groups.len()).sum(),
        entries: None,
        bytes: native.iter().flat_map(|native| &native.files).map(|file| file.file.bytes).sum(),
    })
}

/// Events that were in flight at an older checkpoint have been processed since.
fn is_current(id: &ChunkId, manifest: &Manifest) -> bool {
    id.content != Content::InFlight || id.number == manifest.checkpoint
}

fn describe(content: Content) -> &'static str {
    match content {
        Content::Rows => "values",
        Content::EventTimers => "event-time timers",
        Content::ProcessingTimers => "processing-time timers",
        Content::Panes => "panes",
        Content::Entries => "entries",
        Content::InFlight => "events in flight",
        Content::Broadcast => "broadcast state",
    }
}

/// As an operator declares it.
fn describe_state(state: &StateRecord) -> String {
    let (name, data_type) = (&state.value.name, &state.value.data_type);
    match (&state.key_type, state.state_kind.as_str()) {
        (Some(key), "broadcast") => format!("{name}: broadcast map<{key}, {data_type}>"),
        (Some(key), _) => format!("{name}: map<{key}, {data_type}>"),
        (None, "list" | "operator-split" | "operator-union") => format!("{name}: list<{data_type}>"),
        (None, _) => format!("{name}: {data_type}"),
    }
}

fn names(shape: &Shape, content: Content) -> Vec<String> {
    match (shape, content) {
        (_, Content::InFlight) => Vec::new(),
        (Shape::Window { aggregates, .. }, _) => {
            let functions = aggregates.iter().map(|aggregate| format!("{} = {}", aggregate.name, aggregate.function));
            [WINDOWS.to_owned()].into_iter().chain(functions).collect()
        }
        (Shape::Process { states, .. }, Content::Rows | Content::Entries | Content::Broadcast) => {
            let holds = |state: &&StateRecord| match (state.kind(), state.layout()) {
                (Ok(StateKind::Broadcast), _) => content == Content::Broadcast,
                (_, Ok(StateLayout::Entries { .. })) => content == Content::Entries,
                _ => content == Content::Rows,
            };
            states.iter().filter(holds).map(describe_state).collect()
        }
        (Shape::Process { timers, .. }, _) => timers.clone(),
        (Shape::Source { .. } | Shape::Sink, _) => Vec::new(),
    }
}
