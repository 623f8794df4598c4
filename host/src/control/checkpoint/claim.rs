//! The start of a job that has checkpoints: from which one, and what the last start has left to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::connectors::{self, Committer, SinkId, Transactions};
use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::decision::{Decision, Record};
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::plan::graph::{NodeKind, Plan};
use crate::store::Store;

use super::beginning::{self, Beginning};
use super::decisions::{Claimant, Decisions};
use super::driver::{commit, now};
use super::intent::Intent;
use super::restore::Origin;
use super::retention::{self, Last, Scope};

/// Where a job is to start.
#[derive(Clone, Debug, Default)]
pub enum StartFrom {
    /// Its last complete checkpoint; without one, from nothing.
    #[default]
    Latest,
    /// A checkpoint that a person names, see `Origin::find`.
    Path(String),
    /// From nothing, although there may be a checkpoint.
    Nothing,
}

/// What a job that has checkpoints begins with.
pub struct Claimed {
    pub plan: CheckpointPlan,
    pub store: Store,
    pub decisions: Decisions,
    /// That sinks write in.
    pub transactions: Option<Arc<dyn Transactions>>,
    /// The checkpoint that it goes on from.
    pub origin: Option<Origin>,
    /// Without one, where its sources begin; `None` too where none of them has to be told.
    pub beginning: Option<Origin>,
    /// The last start of the job was to be stopped, and was not; `None` too where a person chose where to start.
    pub unfinished_stop: Option<Intent>,
    pub committers: BTreeMap<Uid, Box<dyn Committer>>,
    /// The number of its first checkpoint.
    pub first: CheckpointId,
    pub kept: Vec<retention::Kept>,
}

/// Makes this process the one that runs the job, and finishes what the last start of it has left. `claimed` is the last
/// start of the job that this process has claimed, 0 for none: if another host has claimed it since, that is left alone.
pub fn claim(
    plan: &Plan,
    checkpoints: CheckpointPlan,
    from: &StartFrom,
    may_drop_state: bool,
    claimed: &AtomicU64,
) -> Result<Claimed, Fault> {
    let store = Store::open(&checkpoints.location)?.under(&plan.name);
    claim_in(store, plan, checkpoints, from, may_drop_state, claimed)
}

/// The same in a store that is open; `store` is the job's place.
pub fn claim_in(
    store: Store,
    plan: &Plan,
    checkpoints: CheckpointPlan,
    from: &StartFrom,
    may_drop_state: bool,
    claimed: &AtomicU64,
) -> Result<Claimed, Fault> {
    let named = match from {
        StartFrom::Path(path) => Some(Origin::find(path, Some(&checkpoints.location))?),
        StartFrom::Latest | StartFrom::Nothing => None,
    };
    fail_point::reach("claim.before");
    let transactions = connectors::open_transactions(&checkpoints);
    let claimant = Claimant { job: &plan.name, from, claimed };
    let mut chosen = Chosen::default();
    let decisions = Decisions::claim(&claimant, &store, transactions.clone(), |last| {
        let start = match from {
            StartFrom::Latest => last.and_then(|record| record.decision.state()).cloned(),
            StartFrom::Path(_) => named.clone(),
            StartFrom::Nothing => None,
        };
        let origin = start.as_ref().map(|start| Origin::load(&store, start)).transpose()?;
        check(from, &store, last, origin.as_ref(), transactions.is_some())?;
        match &origin {
            Some(origin) => origin.check(plan, may_drop_state)?,
            None => check_fresh(plan)?,
        }
        chosen.unfinished = match from {
            StartFrom::Latest => unfinished_stop(&store, last, origin.as_ref())?,
            StartFrom::Path(_) | StartFrom::Nothing => None,
        };
        chosen.decided_by = last.map_or(0, |last| last.incarnation);
        chosen.origin = origin;
        Ok(start)
    })?;
    let Chosen { origin, unfinished, decided_by } = chosen;
    let settled = settle(&store, &decisions, plan, &checkpoints, from, origin.as_ref(), decided_by);
    let Settled { committers, first, kept } = settled.map_err(|fault| decisions.explain(fault))?;
    let beginning = None;
    let mut claimed = Claimed {
        plan: checkpoints,
        store,
        decisions,
        transactions,
        origin,
        beginning,
        unfinished_stop: unfinished,
        committers,
        first,
        kept,
    };
    claimed.begin(plan)?;
    Ok(claimed)
}

impl Claimed {
    /// Decides where sources begin, if the job starts from nothing.
    fn begin(&mut self, plan: &Plan) -> Result<(), Fault> {
        if self.origin.is_some() {
            return Ok(());
        }
        let decided = beginning::decide(plan, &self.store, &mut self.decisions, self.first, now());
        if let Some(Beginning { origin, kept }) = decided.map_err(|fault| self.decisions.explain(fault))? {
            self.first = CheckpointId(self.first.0 + 1);
            self.kept.push(kept);
            self.beginning = Some(origin);
        }
        Ok(())
    }
}

/// Where a start begins, of the decisions that it has found.
#[derive(Default)]
struct Chosen {
    origin: Option<Origin>,
    unfinished: Option<Intent>,
    /// The start that made the last decision.
    decided_by: u64,
}

/// Refuses a start from there, `last` being what was decided last, where rows would be lost or come twice.
fn check(
    from: &StartFrom,
    store: &Store,
    last: Option<&Record>,
    origin: Option<&Origin>,
    is_transactional: bool,
) -> Result<(), Fault> {
    match (from, last, origin) {
        (StartFrom::Latest, None, _) => retention::refuse_undecided(store),
        (StartFrom::Latest, Some(last), _) if !is_transactional => check_is_known(last, origin),
        (StartFrom::Path(_), _, Some(origin)) => origin.check_named(is_transactional, last),
        _ => Ok(()),
    }
}

/// Refuses to begin from nothing beside the results of an earlier job of this name.
fn check_fresh(plan: &Plan) -> Result<(), Fault> {
    plan.nodes.iter().try_for_each(|node| match &node.kind {
        NodeKind::Sink(sink) => {
            connectors::check_fresh(sink, &plan.name, &node.uid).map_err(|fault| fault.at(&node.uid))
        }
        _ => Ok(()),
    })
}

/// Refuses to go on from the log in the store alone, where sinks wrote in transactions until now: Kafka may have a newer
/// decision, after which rows have come out elsewhere. What has stopped as it was told to is in the log.
fn check_is_known(last: &Record, origin: Option<&Origin>) -> Result<(), Fault> {
    let has_stopped = matches!(last.decision, Decision::Complete { .. })
        && origin.is_some_and(|origin| origin.manifest.stops || origin.manifest.is_finished);
    if last.transactional_ids.is_empty() || has_stopped {
        return Ok(());
    }
    Err(Fault::invalid(
        "the job wrote to Kafka exactly once until now, does not any more, and was not stopped in between, so what it wrote \
         last is not known here: start it as it was before, stop it with `wasmill stop`, and start it like this then; or \
         name a checkpoint with `--from`, behind which rows may then come twice",
    ))
}

/// What is left of earlier starts of the job.
struct Settled {
    committers: BTreeMap<Uid, Box<dyn Committer>>,
    first: CheckpointId,
    kept: Vec<retention::Kept>,
}

/// Publishes what was decided on and perhaps not done, and sweeps the rest.
fn settle(
    store: &Store,
    decisions: &Decisions,
    plan: &Plan,
    checkpoints: &CheckpointPlan,
    from: &StartFrom,
    origin: Option<&Origin>,
    decided_by: u64,
) -> Result<Settled, Fault> {
    Intent::delete(store)?;
    fail_point::reach("claim.after");
    let mut committers = BTreeMap::new();
    for node in &plan.nodes {
        let NodeKind::Sink(sink) = &node.kind else { continue };
        let of = SinkId { job: &plan.name, node: &node.uid, incarnation: Incarnation::of(decisions) };
        let Some(mut committer) = connectors::open_committer(sink, &of).map_err(|fault| fault.at(&node.uid))? else {
            continue;
        };
        if let Some(record) = origin.and_then(|origin| origin.manifest.node(&node.uid)) {
            fail_point::reach("followers.replay");
            let patience = checkpoints.timeout.into();
            commit(committer.as_mut(), &record.committables, patience).map_err(|fault| fault.at(&node.uid))?;
        }
        committer.sweep().map_err(|fault| fault.at(&node.uid))?;
        committers.insert(node.uid.clone(), committer);
    }
    let started_from = origin.map_or(0, |origin| origin.manifest.checkpoint);
    let is_latest = matches!(from, StartFrom::Latest);
    if let Some(origin) = origin.filter(|_| is_latest) {
        origin.note_decided()?;
    }
    let scope = Scope {
        incarnation: decisions.incarnation(),
        last: is_latest.then_some(Last { checkpoint: started_from, incarnation: decided_by }),
        origin: origin.map(|origin| origin.manifest.as_ref()),
        retained: checkpoints.retained,
    };
    let swept = retention::sweep(store, &scope)?;
    let first = CheckpointId(swept.highest.max(started_from) + 1);
    Ok(Settled { committers, first, kept: swept.kept })
}

/// What the last start of the job was told and had not done when it ended.
fn unfinished_stop(store: &Store, last: Option<&Record>, origin: Option<&Origin>) -> Result<Option<Intent>, Fault> {
    let intent = Intent::read(store)?;
    let has_stopped = origin.is_some_and(|origin| origin.manifest.stops);
    Ok(intent.filter(|intent| !has_stopped && last.is_some_and(|last| last.incarnation == intent.incarnation)))
}
