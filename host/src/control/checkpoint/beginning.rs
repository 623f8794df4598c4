//! Where the sources of a job begin that starts from nothing.

use std::collections::BTreeSet;

use crate::connectors;
use crate::dataplane::snapshot::SourceSplit;
use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::fault::Fault;
use crate::model::time::Timestamp;
use crate::plan::graph::{Node, NodeKind, Plan};
use crate::storage::manifest::{Manifest, NodeRecord};
use crate::store::Store;

use super::decisions::Decisions;
use super::record::{StateFile, shape};
use super::restore::Origin;
use super::retention::Kept;

/// A checkpoint of nothing but positions.
pub struct Beginning {
    pub origin: Origin,
    pub kept: Kept,
}

/// Decides where sources begin that would begin elsewhere a moment later (at `latest`, say), before anything is read: by a
/// checkpoint of this number, from which the job starts now, and again if it dies before its next one. `None` = it has no
/// such source.
pub fn decide(
    plan: &Plan,
    store: &Store,
    decisions: &mut Decisions,
    checkpoint: CheckpointId,
    now: Timestamp,
) -> Result<Option<Beginning>, Fault> {
    let nodes = plan.nodes.iter().map(|node| record(node).map_err(|fault| fault.at(&node.uid)));
    let nodes: Vec<NodeRecord> = nodes.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if nodes.is_empty() {
        return Ok(None);
    }
    let Incarnation { job_id, number } = Incarnation::of(decisions);
    let mut manifest = Manifest::new(&plan.name, job_id, number, checkpoint, plan.max_parallelism);
    (manifest.created, manifest.nodes) = (now.0, nodes);
    let reference = manifest.write(store, &Incarnation::of(decisions).folder(checkpoint.0))?;
    decisions.complete(reference.clone())?;
    decisions.acknowledge()?;
    decisions.prepare()?;
    let own = StateFile { key: reference.path.clone(), bytes: 0 };
    let kept = Kept { checkpoint, files: BTreeSet::from([own]) };
    Ok(Some(Beginning { origin: Origin::load(store, &reference)?, kept }))
}

fn record(node: &Node) -> Result<Option<NodeRecord>, Fault> {
    let NodeKind::Source(source) = &node.kind else { return Ok(None) };
    let Some(splits) = connectors::starting_splits(&source.connector)? else { return Ok(None) };
    Ok(Some(NodeRecord {
        uid: node.uid.clone(),
        shape: shape(node),
        watermark: None,
        ahead: Vec::new(),
        latest: None,
        splits: splits.into_iter().map(|split| SourceSplit { split, latest: None }).collect(),
        in_flight: None,
        slots: Vec::new(),
        committables: Vec::new(),
    }))
}
