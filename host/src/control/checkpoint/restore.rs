//! Where a job starts: from a checkpoint, as each slot sees it, or from nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::connectors;
use crate::dataplane::snapshot::{MemberState, Restored, SourceSplit, Watermarks};
use crate::model::checkpoint::CheckpointId;
use crate::model::decision::{ManifestRef, Record};
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::key_group::groups_of;
use crate::model::schema::Field;
use crate::model::time::Timestamp;
use crate::plan::descriptor::{OperatorKind, StateKind};
use crate::plan::graph::{AggregatePlan, Node, NodeKind, Plan};
use crate::plan::location::Location;
use crate::sandbox::migration::Migration;
use crate::state::broadcast::{COPY_GROUP, WithCopy};
use crate::state::evolution::Evolution;
use crate::state::operator_state::{Redistributed, Redistribution};
use crate::state::snapshot::ChunkSource;
use crate::state::{Conversion, FormerState};
use crate::storage::decisions;
use crate::storage::manifest::{FieldRecord, Kind, MANIFEST, Manifest, NodeRecord, Shape, StateRecord, UNDECIDED};
use crate::storage::native_files::StoredFiles;
use crate::storage::state_file::{SlotsOfState, StateFiles};
use crate::store::Store;

use super::checked_keys::CheckedKeys;
use super::compatibility::{Finding, Verdict, compare, evolution_of, evolution_of_accumulators};
use super::record::{parse_plugin_accumulator, shape};
use super::retention::refuse_undecided;

/// A checkpoint to start from.
#[derive(Clone)]
pub struct Origin {
    /// `reference` is a key in it.
    store: Store,
    reference: ManifestRef,
    pub manifest: Arc<Manifest>,
}

impl Origin {
    /// The checkpoint that a decision names; `job_store` is the job's place.
    pub fn load(job_store: &Store, reference: &ManifestRef) -> Result<Self, Fault> {
        let (store, reference) = match is_elsewhere(&reference.path) {
            false => (job_store.clone(), reference.clone()),
            true => {
                let (location, path) = locate(&reference.path, Some(&job_store.location()));
                (Store::open(&location)?, ManifestRef { path, ..reference.clone() })
            }
        };
        let manifest = Arc::new(Manifest::read(&store, &reference)?);
        Ok(Self { store, reference, manifest })
    }

    /// Finds the checkpoint that a person names by its folder, its manifest, or the URL of either, see `locate`. The answer
    /// can be written into a decision.
    pub fn find(path: &str, like: Option<&Location>) -> Result<ManifestRef, Fault> {
        let path = absolute(path)?;
        let path = if path.ends_with(MANIFEST) { path } else { format!("{path}/{MANIFEST}") };
        let (location, key) = locate(&path, like);
        let bytes = Store::open_existing(&location)?.map(|store| store.get(&key)).transpose()?.flatten();
        let Some(bytes) = bytes else {
            return Err(Fault::invalid(format!("there is no checkpoint: `{path}` does not exist")));
        };
        Manifest::parse(&bytes, &path)?;
        use sha2::{Digest, Sha256};
        Ok(ManifestRef { path, sha256: hex::encode(Sha256::digest(&bytes)) })
    }

    /// The one that a person names, see `find`.
    pub fn named(path: &str, like: Option<&Location>) -> Result<Self, Fault> {
        let reference = Self::find(path, like)?;
        let (location, key) = locate(&reference.path, like);
        let reference = ManifestRef { path: key, ..reference };
        let store = Store::open(&location)?;
        let manifest = Arc::new(Manifest::read(&store, &reference)?);
        Ok(Self { store, reference, manifest })
    }

    /// The one that the job in this place goes on from.
    pub fn latest(job_store: &Store) -> Result<Option<Self>, Fault> {
        let last = decisions::last(job_store)?;
        if last.is_none() {
            refuse_undecided(job_store)?;
        }
        let state = last.as_ref().and_then(|(_, record)| record.decision.state());
        state.map(|reference| Self::load(job_store, reference)).transpose()
    }

    /// What taking it over means for each part of the job and of the checkpoint.
    pub fn findings(&self, plan: &Plan) -> Result<Vec<Finding>, Fault> {
        let mut findings = compare(plan, &self.manifest);
        for then in &self.manifest.nodes {
            let now = plan.nodes.iter().find(|node| node.uid == then.uid);
            let publishes =
                now.is_some_and(|node| matches!(&node.kind, NodeKind::Sink(sink) if connectors::commits(sink)));
            // What a sink has prepared is published when the job goes on, if the sink is there.
            let lost = if publishes { BTreeMap::new() } else { connectors::uncommitted(&then.committables)? };
            findings.extend(lost.into_iter().map(|(place, parts)| Finding {
                uid: then.uid.clone(),
                what: format!("its last output, decided on and not published yet ({parts} parts in `{place}`),"),
                verdict: Verdict::Dropped,
            }));
        }
        Ok(findings)
    }

    /// The checkpoint as it is for this plan; refused where state would be lost.
    pub fn check(&self, plan: &Plan, may_drop: bool) -> Result<(), Fault> {
        let findings = self.findings(plan)?;
        let bad = findings.iter().filter(|finding| finding.is_refused(may_drop));
        let bad: Vec<String> = bad.map(|finding| format!("  {finding}")).collect();
        if bad.is_empty() {
            return Ok(());
        }
        let hint = match findings.iter().any(|finding| finding.verdict == Verdict::Dropped) && !may_drop {
            true => "\n`--allow-non-restored-state` drops what has no place",
            false => "",
        };
        Err(Fault::invalid(format!(
            "the job cannot go on from {} {} in `{}`:\n{}{hint}",
            self.manifest.kind,
            self.manifest.checkpoint,
            self.path(),
            bad.join("\n")
        )))
    }

    /// Refuses what a person has named and nothing can go on from. `last` is what the job has decided last. A savepoint
    /// whose host died before it was decided on is one for a job with files alone, which publishes what it has got ready: what
    /// stood in a transaction is gone, and what is another job's is not to be published.
    pub fn check_named(&self, is_transactional: bool, last: Option<&Record>) -> Result<(), Fault> {
        if self.manifest.is_finished {
            return Err(self.finished());
        }
        let is_own = last.is_some_and(|last| last.job_id == self.manifest.job_id);
        if (is_own && !is_transactional) || self.store.get(&self.undecided())?.is_none() {
            return Ok(());
        }
        let path = self.path();
        Err(Fault::invalid(format!(
            "the savepoint in `{path}` is whole, but its host died before it was decided on, so what the job had written \
             for it may not have come out: start the job itself again, without `--from`, and make another savepoint"
        )))
    }

    /// It was decided on: its host may have died before it noted that.
    pub fn note_decided(&self) -> Result<(), Fault> {
        match self.manifest.kind {
            Kind::Savepoint => self.store.delete(&self.undecided()),
            Kind::Checkpoint => Ok(()),
        }
    }

    fn undecided(&self) -> String {
        format!("{}/{UNDECIDED}", self.reference.folder())
    }

    /// What a node had in these key groups.
    pub fn chunks(&self, record: &NodeRecord, groups: Range<u16>) -> Result<SlotsOfState, Fault> {
        let mut slots = SlotsOfState { chunks: Vec::new(), native: Vec::new() };
        for slot in &record.slots {
            let files: Vec<String> = slot.files.iter().map(|file| self.reference.resolve(&file.path)).collect();
            slots.chunks.push(StateFiles::open(&self.store, &files, groups.clone())?);
            let native = slot.native.iter();
            let key = |path: &str| self.reference.resolve(path);
            slots.native.extend(native.map(|record| StoredFiles::new(&self.store, record, key)));
        }
        Ok(slots)
    }

    /// Its folder or URL.
    pub fn path(&self) -> String {
        self.store.name_of(self.reference.folder())
    }

    /// Why nothing goes on from it.
    fn finished(&self) -> Fault {
        Fault::invalid(format!(
            "the job had finished with {} {} in `{}`: all was read or drained and every window had fired, so nothing can \
             go on from it; its state can be read (`wasmill state`)",
            self.manifest.kind,
            self.manifest.checkpoint,
            self.path()
        ))
    }

    pub fn for_slot(&self, plan: &Arc<Plan>, slot: Slot) -> SlotOrigin {
        SlotOrigin { origin: self.clone(), plan: Arc::clone(plan), slot }
    }
}

fn is_elsewhere(path: &str) -> bool {
    path.contains("://") || Path::new(path).is_absolute()
}

/// The folder of a checkpoint or the URL of one, as a person names it: absolute, and without a `/` at its end.
pub fn absolute(path: &str) -> Result<String, Fault> {
    let path = path.trim_end_matches('/');
    match path.contains("://") {
        true => Ok(path.to_owned()),
        false => std::path::absolute(path)
            .map(|path| path.to_string_lossy().into_owned())
            .map_err(|error| Fault::invalid(format!("`{path}` is not a path: {error}"))),
    }
}

/// What is around a manifest, large enough for the files beside its folder, and the manifest's key there. `path` is
/// absolute or a URL, which is reached with the options of `like`, the job's place, if that is in a store of its kind.
pub fn locate(path: &str, like: Option<&Location>) -> (Location, String) {
    /// The manifest, its folder, and that which the folders of other checkpoints may be in too.
    const INSIDE: usize = 3;
    let path = path.strip_prefix("file://").unwrap_or(path);
    let (host, rest) = match path.split_once("://") {
        None => ("", path),
        Some((scheme, rest)) => {
            let host = scheme.len() + "://".len() + rest.find('/').unwrap_or(rest.len());
            path.split_at(host)
        }
    };
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let (root, inside) = parts.split_at(parts.len().saturating_sub(INSIDE));
    let root = format!("{host}/{}", root.join("/"));
    let location = match host {
        "" => Location::Folder(root.into()),
        _ => Location::Store { options: like.map(|like| like.options_for(&root)).unwrap_or_default(), url: root },
    };
    (location, inside.join("/"))
}

/// A checkpoint as one slot sees it.
pub struct SlotOrigin {
    origin: Origin,
    plan: Arc<Plan>,
    slot: Slot,
}

impl Restored for SlotOrigin {
    fn member(&self, uid: &Uid) -> Result<Option<MemberState>, Fault> {
        let Some(record) = self.origin.manifest.node(uid) else { return Ok(None) };
        let Some(node) = self.plan.nodes.iter().find(|node| node.uid == *uid) else { return Ok(None) };
        Ok(Some(MemberState {
            checkpoint: CheckpointId(self.origin.manifest.checkpoint),
            progress: Watermarks {
                input: record.watermark.map_or(Timestamp::MIN, Timestamp),
                latest: record.latest.map(Timestamp),
            },
            ahead: record.ahead.clone(),
            chunks: self.chunks(node, record)?,
            states: former_states(&self.plan, node, record)?,
            accumulators: former_accumulators(&self.plan, node, record)?,
            timers: former_timers(node, record),
            splits: former_splits(node, record)?,
        }))
    }
}

impl SlotOrigin {
    fn chunks(&self, node: &Node, record: &NodeRecord) -> Result<Box<dyn ChunkSource>, Fault> {
        let key = key_of(record)?;
        let (slot, parallelism, max_parallelism) = (self.slot, node.parallelism, self.plan.max_parallelism);
        let states = redistributions(record)?;
        if states.iter().all(Option::is_none) {
            let own = self.origin.chunks(record, groups_of(slot, parallelism, max_parallelism))?;
            if !has_broadcast_state(record)? {
                return Ok(Box::new(CheckedKeys { chunks: own, key }));
            }
            let copy = self.origin.chunks(record, COPY_GROUP.0..COPY_GROUP.0 + 1)?;
            return Ok(Box::new(CheckedKeys { chunks: WithCopy { own, copy }, key }));
        }
        let former = record.slots.iter().map(|former| {
            let only = NodeRecord { slots: vec![former.clone()], ..record.clone() };
            Ok(CheckedKeys { chunks: self.origin.chunks(&only, 0..max_parallelism)?, key: key.clone() })
        });
        let former = former.collect::<Result<_, Fault>>()?;
        Ok(Box::new(Redistributed { former, states, slot, parallelism, max_parallelism }))
    }
}

/// The columns of a node's key.
fn key_of(record: &NodeRecord) -> Result<Vec<Field>, Fault> {
    match &record.shape {
        Shape::Process { key, .. } | Shape::Window { key, .. } => key.iter().map(FieldRecord::parse).collect(),
        Shape::Source { .. } | Shape::Sink => Ok(Vec::new()),
    }
}

fn has_broadcast_state(record: &NodeRecord) -> Result<bool, Fault> {
    let Shape::Process { states, .. } = &record.shape else { return Ok(false) };
    let kinds = states.iter().map(StateRecord::kind).collect::<Result<Vec<_>, _>>()?;
    Ok(kinds.contains(&StateKind::Broadcast))
}

/// Of each state of a node.
fn redistributions(record: &NodeRecord) -> Result<Vec<Option<Redistribution>>, Fault> {
    let Shape::Process { states, .. } = &record.shape else { return Ok(Vec::new()) };
    let redistribution = |state: &StateRecord| {
        Ok(match state.kind()? {
            StateKind::OperatorSplit => Some(Redistribution::Split),
            StateKind::OperatorUnion => Some(Redistribution::Union),
            _ => None,
        })
    };
    states.iter().map(redistribution).collect()
}

fn former_states(plan: &Plan, node: &Node, record: &NodeRecord) -> Result<Vec<FormerState>, Fault> {
    let (Shape::Process { states, .. }, NodeKind::Process(process)) = (&record.shape, &node.kind) else {
        return Ok(Vec::new());
    };
    let former = states.iter().map(|then| {
        let layout = then.layout()?;
        let Some(number) = process.descriptor.states.iter().position(|now| now.name == then.value.name) else {
            return Ok(FormerState::unchanged(layout, None));
        };
        let state = &process.descriptor.states[number];
        let migrate = || {
            let (kind, limits) = (OperatorKind::Process, plan.limits.plugin);
            Migration::new(&node.uid, &process.plugin, kind, limits, state, then.version)
        };
        let (what, evolution) = (format!("state `{}`", state.name), evolution_of(then, &StateRecord::from(state))?);
        let conversion = conversion(&node.uid, &what, evolution, migrate)?;
        Ok(FormerState { layout, number: Some(number), conversion })
    });
    former.collect()
}

fn former_accumulators(
    plan: &Plan,
    node: &Node,
    record: &NodeRecord,
) -> Result<Vec<Option<Box<dyn Conversion>>>, Fault> {
    let (Shape::Window { aggregates: then, .. }, Shape::Window { aggregates: now, .. }, NodeKind::Window(window)) =
        (&record.shape, shape(node), &node.kind)
    else {
        return Ok(Vec::new());
    };
    let former = then.iter().zip(&now).zip(&window.aggregates).map(|((then, now), aggregate)| {
        let (AggregatePlan::Plugin { plugin, descriptor, .. }, Some((_, version))) =
            (aggregate, parse_plugin_accumulator(then))
        else {
            return Ok(None);
        };
        let migrate = || {
            let (kind, limits) = (OperatorKind::Aggregate, plan.limits.plugin);
            Migration::new(&node.uid, plugin, kind, limits, &descriptor.states[0], version)
        };
        conversion(&node.uid, &format!("aggregate `{}`", now.name), evolution_of_accumulators(then, now)?, migrate)
    });
    former.collect()
}

/// What makes values of a state or accumulators of an aggregate (`what`) today's; `None` = they are.
fn conversion(
    node: &Uid,
    what: &str,
    evolution: Evolution,
    migrate: impl FnOnce() -> Result<Migration, Fault>,
) -> Result<Option<Box<dyn Conversion>>, Fault> {
    Ok(match evolution {
        Evolution::Compatible => None,
        Evolution::Transcode(transcoder) => Some(Box::new(transcoder)),
        Evolution::Migrate => Some(Box::new(migrate()?)),
        Evolution::Incompatible(why) => {
            return Err(Fault::invalid(format!("{what} cannot be taken over: {why}")).at(node));
        }
    })
}

/// Those of which the source still reads.
fn former_splits(node: &Node, record: &NodeRecord) -> Result<Vec<SourceSplit>, Fault> {
    let NodeKind::Source(source) = &node.kind else { return Ok(Vec::new()) };
    let names = connectors::Names::of(&source.connector)?;
    Ok(record.splits.iter().filter(|split| names.has(&split.split)).cloned().collect())
}

fn former_timers(node: &Node, record: &NodeRecord) -> Vec<Option<u32>> {
    let (Shape::Process { timers, .. }, NodeKind::Process(process)) = (&record.shape, &node.kind) else {
        return Vec::new();
    };
    let now = |then: &String| process.descriptor.timers.iter().position(|now| now.name == *then);
    timers.iter().map(|then| now(then).map(|number| number as u32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_located_with_what_is_beside_its_folder() {
        let folder = |path: &str| Location::Folder(path.into());
        let store = |url: &str| Location::Store { url: url.to_owned(), options: Vec::new() };
        let located = |path, location, key: &str| assert_eq!(locate(path, None), (location, key.to_owned()));
        located("/a/b/checkpoints/1-2/manifest.json", folder("/a/b"), "checkpoints/1-2/manifest.json");
        located("file:///a/manifest.json", folder("/"), "a/manifest.json");
        located("s3://bucket/a/manifest.json", store("s3://bucket/"), "a/manifest.json");
        located("s3://bucket/x/y/a/manifest.json", store("s3://bucket/x"), "y/a/manifest.json");
        let options = vec![("aws_region".to_owned(), "eu-north-1".to_owned())];
        let like = Location::Store { url: "s3://jobs/here".to_owned(), options: options.clone() };
        let (found, _) = locate("s3://bucket/a/manifest.json", Some(&like));
        assert_eq!(found, Location::Store { url: "s3://bucket/".to_owned(), options });
        let (found, _) = locate("gs://bucket/a/manifest.json", Some(&like));
        assert_eq!(found, store("gs://bucket/"), "another kind of store has other options");
    }

    #[test]
    fn what_does_not_exist_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        let error = Origin::find(&path.to_string_lossy(), None).unwrap_err();
        assert!(error.message.contains("does not exist"), "{error}");
        assert!(!folder.path().join("a").exists());
    }
}
