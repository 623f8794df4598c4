//! Where a job starts: from a checkpoint, as each slot sees it, or from nothing.

use std::path::Path;
use std::sync::Arc;

use crate::dataplane::snapshot::{MemberState, Restored, Watermarks};
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::key_group::groups_of;
use crate::model::time::Timestamp;
use crate::plan::graph::{Node, NodeKind, Plan};
use crate::plan::location::Location;
use crate::state::FormerState;
use crate::storage::manifest::{MANIFEST, Manifest, ManifestRef, NodeRecord, Shape};
use crate::storage::native_files::StoredFiles;
use crate::storage::state_file::{SlotsOfState, StateFiles};
use crate::store::Store;

use super::compatibility::{Finding, Verdict, compare};

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
                let (store, path) = open_elsewhere(&reference.path)?;
                (store, ManifestRef { path, ..reference.clone() })
            }
        };
        let manifest = Arc::new(Manifest::read(&store, &reference)?);
        Ok(Self { store, reference, manifest })
    }

    /// Finds the checkpoint that a person names by its folder, its manifest, or the URL of either. The answer can be
    /// written into a decision.
    pub fn find(path: &str) -> Result<ManifestRef, Fault> {
        let path = path.trim_end_matches('/');
        let path = match path.contains("://") {
            true => path.to_owned(),
            false => std::path::absolute(path)
                .map_err(|error| Fault::invalid(format!("`{path}` is not a path: {error}")))?
                .to_string_lossy()
                .into_owned(),
        };
        let path = if path.ends_with(MANIFEST) { path } else { format!("{path}/{MANIFEST}") };
        let (store, key) = open_elsewhere(&path)?;
        let Some(bytes) = store.get(&key)? else {
            return Err(Fault::invalid(format!("there is no checkpoint: `{path}` does not exist")));
        };
        Manifest::parse(&bytes, &path)?;
        use sha2::{Digest, Sha256};
        Ok(ManifestRef { path, sha256: hex::encode(Sha256::digest(&bytes)) })
    }

    /// The checkpoint as it is for this plan; refused where state would be lost.
    pub fn check(&self, plan: &Plan, may_drop: bool) -> Result<(), Fault> {
        let findings = compare(plan, &self.manifest);
        let bad = |finding: &&Finding| match finding.verdict {
            Verdict::Incompatible(_) => true,
            Verdict::Dropped => !may_drop,
            Verdict::Compatible | Verdict::New => false,
        };
        let bad: Vec<String> = findings.iter().filter(bad).map(|finding| format!("  {finding}")).collect();
        if bad.is_empty() {
            return Ok(());
        }
        let hint = match findings.iter().any(|finding| finding.verdict == Verdict::Dropped) && !may_drop {
            true => "\n`--allow-non-restored-state` drops what has no place",
            false => "",
        };
        Err(Fault::invalid(format!(
            "the job cannot go on from checkpoint {} in `{}`:\n{}{hint}",
            self.manifest.checkpoint,
            self.store.name_of(self.reference.folder()),
            bad.join("\n")
        )))
    }

    pub fn for_slot(&self, plan: &Arc<Plan>, slot: Slot) -> SlotOrigin {
        SlotOrigin { origin: self.clone(), plan: Arc::clone(plan), slot }
    }
}

fn is_elsewhere(path: &str) -> bool {
    path.contains("://") || Path::new(path).is_absolute()
}

/// The store around a manifest, large enough for the files beside its folder.
fn open_elsewhere(path: &str) -> Result<(Store, String), Fault> {
    let mut parts = path.rsplitn(4, '/');
    let (manifest, folder, beside) = (parts.next(), parts.next(), parts.next());
    let (Some(manifest), Some(folder), Some(beside), Some(root)) = (manifest, folder, beside, parts.next()) else {
        return Err(Fault::invalid(format!("`{path}` is too near to the root to be a checkpoint's")));
    };
    let location = match root.split_once("://") {
        None => Location::Folder(if root.is_empty() { "/".into() } else { root.into() }),
        Some(("file", path)) => Location::Folder(path.into()),
        Some(_) => Location::Store { url: root.to_owned(), options: Vec::new() },
    };
    Ok((Store::open(&location)?, format!("{beside}/{folder}/{manifest}")))
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
            progress: Watermarks {
                input: record.watermark.map_or(Timestamp::MIN, Timestamp),
                latest: record.latest.map(Timestamp),
            },
            chunks: Box::new(self.chunks(node, record)?),
            states: former_states(node, record)?,
            timers: former_timers(node, record),
            splits: record.splits.clone(),
        }))
    }
}

impl SlotOrigin {
    fn chunks(&self, node: &Node, record: &NodeRecord) -> Result<SlotsOfState, Fault> {
        let groups = groups_of(self.slot, node.parallelism, self.plan.max_parallelism);
        let mut slots = SlotsOfState { chunks: Vec::new(), native: Vec::new() };
        for slot in &record.slots {
            let files: Vec<String> = slot.files.iter().map(|file| self.origin.reference.resolve(&file.path)).collect();
            slots.chunks.push(StateFiles::open(&self.origin.store, &files, groups.clone())?);
            let native = slot.native.iter();
            let key = |path: &str| self.origin.reference.resolve(path);
            slots.native.extend(native.map(|record| StoredFiles::new(&self.origin.store, record, key)));
        }
        Ok(slots)
    }
}

fn former_states(node: &Node, record: &NodeRecord) -> Result<Vec<FormerState>, Fault> {
    let (Shape::Process { states, .. }, NodeKind::Process(process)) = (&record.shape, &node.kind) else {
        return Ok(Vec::new());
    };
    let former = states.iter().map(|then| {
        let number = process.descriptor.states.iter().position(|now| now.name == then.value.name);
        Ok(FormerState { width: then.width()?, number })
    });
    former.collect()
}

fn former_timers(node: &Node, record: &NodeRecord) -> Vec<Option<u32>> {
    let (Shape::Process { timers, .. }, NodeKind::Process(process)) = (&record.shape, &node.kind) else {
        return Vec::new();
    };
    let now = |then: &String| process.descriptor.timers.iter().position(|now| now.name == *then);
    timers.iter().map(|then| now(then).map(|number| number as u32)).collect()
}
