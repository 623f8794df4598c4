//! What is in a job's place, and what is in a checkpoint, for people.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::dataplane::snapshot::SourceSplit;
use crate::model::decision::ManifestRef;
use crate::model::fault::Fault;
use crate::model::time::Timestamp;
use crate::plan::descriptor::StateKind;
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::plan::location::Location;
use crate::state::StateLayout;
use crate::state::snapshot::{ChunkId, Content};
use crate::storage::decisions;
use crate::storage::manifest::{
    FieldRecord, Kind, MANIFEST, Manifest, NativeRecord, NodeRecord, Shape, StateRecord, UNDECIDED,
};
use crate::store::Store;

use super::reading::WINDOWS;
use super::record::{CHECKPOINTS, SAVEPOINTS, begun};
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

/// What stands where a checkpoint or savepoint should, and cannot be read: damaged, or another program's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unreadable {
    /// As its folder is called; `None` = a person has named that.
    pub checkpoint: Option<u64>,
    pub is_last: bool,
    pub path: String,
    /// Why.
    pub unreadable: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Found {
    Readable(Listed),
    Unreadable(Unreadable),
}

impl Found {
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Readable(listed) => Some(listed.checkpoint),
            Self::Unreadable(unreadable) => unreadable.checkpoint,
        }
    }

    fn is_last(&self) -> bool {
        match self {
            Self::Readable(Listed { is_last, .. }) | Self::Unreadable(Unreadable { is_last, .. }) => *is_last,
        }
    }
}

/// A manifest in a job's place.
struct Standing {
    reference: ManifestRef,
    /// The job goes on from it.
    is_last: bool,
    manifest: Result<Manifest, Fault>,
}

impl Standing {
    fn found(self, place: &Store) -> Found {
        let path = place.name_of(self.reference.folder());
        match self.manifest {
            Ok(manifest) => Found::Readable(entry(&manifest, path, self.is_last)),
            Err(fault) => Found::Unreadable(Unreadable {
                checkpoint: begun(&self.reference.path).map(|(_, number)| number),
                is_last: self.is_last,
                path,
                unreadable: fault.message,
            }),
        }
    }
}

/// Those of a place. `last` is the one that the job goes on from.
fn standing(place: &Store, last: Option<&str>) -> Result<Vec<Standing>, Fault> {
    let mut found = Vec::new();
    for prefix in [CHECKPOINTS, SAVEPOINTS] {
        for key in place.list(prefix)?.into_iter().filter(|key| key.ends_with(&format!("/{MANIFEST}"))) {
            // It may just have been deleted.
            let Some(bytes) = place.get(&key)? else { continue };
            let manifest = Manifest::parse(&bytes, &place.name_of(&key));
            // A person may have named it, in full.
            let is_last = last.is_some_and(|last| last == key || last == place.name_of(&key));
            found.push(Standing { reference: ManifestRef { path: key, sha256: String::new() }, is_last, manifest });
        }
    }
    Ok(found)
}

/// What the job in this place goes on from.
fn last(place: &Store) -> Result<Option<ManifestRef>, Fault> {
    Ok(decisions::last(place)?.and_then(|(_, record)| record.decision.state().cloned()))
}

/// Those that a place holds, by number; savepoints elsewhere are not among them, but the one that the job goes on from.
pub fn list(place: &Store) -> Result<Vec<Found>, Fault> {
    let last = last(place)?;
    let standing = standing(place, last.as_ref().map(|last| last.path.as_str()))?;
    let mut found: Vec<Found> = standing.into_iter().map(|standing| standing.found(place)).collect();
    if let Some(last) = &last
        && !found.iter().any(Found::is_last)
    {
        found.push(match Origin::load(place, last) {
            Ok(origin) => Found::Readable(entry(&origin.manifest, origin.path(), true)),
            Err(fault) => Found::Unreadable(Unreadable {
                checkpoint: None,
                is_last: true,
                path: last.folder().to_owned(),
                unreadable: fault.message,
            }),
        });
    }
    found.sort_by_key(Found::number);
    Ok(found)
}

/// For whoever is told `why` a job cannot go on from its last checkpoint: what else there is.
pub fn others(checkpoints: &CheckpointPlan, job: &str, why: &Fault) -> String {
    let found = job_place(&checkpoints.location, job).and_then(|place| match &place {
        Some(place) => usable(place, why),
        None => Ok(Vec::new()),
    });
    match found {
        Err(fault) => format!("what else it could start from cannot be listed: {fault}"),
        Ok(others) if others.is_empty() => format!(
            "its place holds no other checkpoint or savepoint to start from (`retained = {}`): bring back what is damaged, \
             or start from a savepoint that is elsewhere (`--from`), or from nothing (`--fresh`)",
            checkpoints.retained
        ),
        Ok(others) => {
            let lines = others.iter().map(|entry| {
                format!("\n  {} {} of {}: {}", entry.kind, entry.checkpoint, Timestamp(entry.created), entry.path)
            });
            format!(
                "where it cannot be brought back, `--from` starts the job from one of these, and what the job has shown \
                 since then is shown again:{}",
                lines.collect::<String>()
            )
        }
    }
}

/// What can be gone on from, but for the last one: none that was never decided on, and none that names the same damaged
/// file, which the fault calls by its full name.
fn usable(place: &Store, why: &Fault) -> Result<Vec<Listed>, Fault> {
    let last = last(place)?;
    let standing = standing(place, last.as_ref().map(|last| last.path.as_str()))?;
    let number = |standing: &Standing| match &standing.manifest {
        Ok(manifest) => Some(manifest.checkpoint),
        Err(_) => begun(&standing.reference.path).map(|(_, number)| number),
    };
    let newest = standing.iter().find(|standing| standing.is_last).and_then(number).unwrap_or(u64::MAX);
    let mut usable = Vec::new();
    for Standing { reference, is_last, manifest } in standing {
        let Ok(manifest) = manifest else { continue };
        let names_it = |path: &str| why.message.contains(&place.name_of(&reference.resolve(path)));
        let is_usable = !is_last && !manifest.is_finished && manifest.checkpoint < newest;
        let is_decided = place.get(&format!("{}/{UNDECIDED}", reference.folder()))?.is_none();
        if is_usable && is_decided && !manifest.files().any(|file| names_it(&file.path)) {
            usable.push(entry(&manifest, place.name_of(reference.folder()), false));
        }
    }
    usable.sort_by_key(|entry| std::cmp::Reverse(entry.checkpoint));
    Ok(usable)
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
            match listed.iter().rfind(|found| found.number() == Some(number)) {
                Some(Found::Readable(entry)) => Origin::named(&entry.path, Some(&place.location())),
                Some(Found::Unreadable(found)) => Err(Fault::unrestorable(found.unreadable.clone())),
                None => {
                    let known: Vec<String> =
                        listed.iter().filter_map(Found::number).map(|number| number.to_string()).collect();
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
