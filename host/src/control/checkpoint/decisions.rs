//! Decisions on a job's checkpoints: in the log in its store or, where sinks write in transactions, in these. Then the log
//! in the store orders the starts of the job, and follows in what it says of checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::connectors::Transactions;
use crate::model::decision::{Decision, ManifestRef, Record};
use crate::model::fail_point;
use crate::model::fault::{Fault, FaultKind};
use crate::storage::decisions::DecisionLog;
use crate::store::Store;

use super::claim::StartFrom;

/// Two hosts that start at once may end each other's transactions before one of them has claimed: so often it is tried.
const CLAIMS_MAX: u32 = 5;
const CLAIM_PAUSE: Duration = Duration::from_millis(200);

pub struct Decisions {
    job: String,
    log: DecisionLog,
    transactions: Option<Arc<dyn Transactions>>,
    /// Decided in a transaction, and not in the log yet.
    unlogged: Option<ManifestRef>,
}

/// Who claims a job.
pub struct Claimant<'a> {
    pub job: &'a str,
    pub from: &'a StartFrom,
    /// The last start of the job that this process has claimed; 0 = none.
    pub claimed: &'a AtomicU64,
}

impl Claimant<'_> {
    /// Refuses where another host has claimed the job since this process did: before that one is disturbed.
    fn check(&self, last: Option<&Record>) -> Result<(), Fault> {
        let claimed = self.claimed.load(Relaxed);
        let is_superseded = claimed > 0 && last.is_some_and(|last| last.incarnation > claimed);
        if is_superseded { Err(superseded(self.job)) } else { Ok(()) }
    }

    fn has(&self, log: DecisionLog, transactions: Option<Arc<dyn Transactions>>) -> Decisions {
        self.claimed.store(log.incarnation(), Relaxed);
        Decisions { job: self.job.to_owned(), log, transactions, unlogged: None }
    }
}

impl Decisions {
    /// Makes this process the one that runs the job: it starts from what `start` makes of the last decision.
    pub fn claim(
        claimant: &Claimant<'_>,
        store: &Store,
        transactions: Option<Arc<dyn Transactions>>,
        mut start: impl FnMut(Option<&Record>) -> Result<Option<ManifestRef>, Fault>,
    ) -> Result<Self, Fault> {
        let Some(transactions) = transactions else {
            let start = |last: Option<&Record>| claimant.check(last).and_then(|()| start(last));
            return Ok(claimant.has(DecisionLog::claim(store, |_| Vec::new(), start)?.0, None));
        };
        let mut claims = 1;
        loop {
            let (log, start) = claim_in_log(claimant, store, transactions.as_ref(), &mut start)?;
            let claim = log.record(Decision::Claim { start });
            let decisions = claimant.has(log, Some(Arc::clone(&transactions)));
            match transactions.claim(&claim).map_err(|fault| decisions.explain(fault)) {
                Ok(()) => return Ok(decisions),
                Err(fault) if fault.kind == FaultKind::Superseded || claims == CLAIMS_MAX => return Err(fault),
                Err(fault) => tracing::debug!("the claim is tried again: {fault}"),
            }
            claims += 1;
            thread::sleep(CLAIM_PAUSE);
        }
    }

    pub fn job_id(&self) -> Uuid {
        self.log.job_id()
    }

    pub fn incarnation(&self) -> u64 {
        self.log.incarnation()
    }

    /// Decides that the checkpoint is complete. After an error other than that the job was superseded it may be either:
    /// the next start finds out.
    pub fn complete(&mut self, manifest: ManifestRef) -> Result<(), Fault> {
        match &self.transactions {
            None => self.log(manifest),
            Some(transactions) => {
                transactions.commit(&self.log.record(Decision::Complete { manifest: manifest.clone() }))?;
                self.unlogged = Some(manifest);
                Ok(())
            }
        }
    }

    /// Writes down in the store what was decided in a transaction; after the followers have published. Idempotent.
    pub fn acknowledge(&mut self) -> Result<(), Fault> {
        let Some(manifest) = self.unlogged.clone() else { return Ok(()) };
        fail_point::reach("decided.before_log");
        self.log(manifest)?;
        self.unlogged = None;
        Ok(())
    }

    fn log(&mut self, manifest: ManifestRef) -> Result<(), Fault> {
        if self.log.complete(manifest)? { Ok(()) } else { Err(superseded(&self.job)) }
    }

    /// Gets ready for the next barrier.
    pub fn prepare(&self) -> Result<(), Fault> {
        let Some(transactions) = &self.transactions else { return Ok(()) };
        fail_point::reach("decided.before_renew");
        transactions.renew()
    }

    /// Nothing more will be decided here: lets go of what was not, so that no reader waits for it.
    pub fn leave(&self) {
        if let Some(transactions) = &self.transactions {
            transactions.abandon(matches!(self.log.is_superseded(), Ok(false)));
        }
    }

    /// Why a fault happened, where another host has claimed the job since: it is that one's doing.
    pub fn explain(&self, fault: Fault) -> Fault {
        self.check().err().unwrap_or(fault)
    }

    /// Whether this host still runs the job, as far as that can be known.
    pub fn check(&self) -> Result<(), Fault> {
        if let Ok(true) = self.log.is_superseded() { Err(superseded(&self.job)) } else { Ok(()) }
    }
}

fn superseded(job: &str) -> Fault {
    Fault::superseded(format!(
        "another host has taken over the job `{job}`: this one stops, and has changed nothing since"
    ))
}

/// Claims the job in its store, from what was decided last: in a transaction, unless a later start of the job went without.
/// A claim in the store that never came to Kafka decides nothing, as one that it was ended by may have gone on.
fn claim_in_log(
    claimant: &Claimant<'_>,
    store: &Store,
    transactions: &dyn Transactions,
    start: &mut impl FnMut(Option<&Record>) -> Result<Option<ManifestRef>, Fault>,
) -> Result<(DecisionLog, Option<ManifestRef>), Fault> {
    let mut is_fenced = false;
    let (log, start) = DecisionLog::claim(
        store,
        |job_id| transactions.ids(job_id),
        |logged| {
            let Some(logged) = logged else { return start(None) };
            claimant.check(Some(logged))?;
            // The log may be one decision behind, and nothing is decided any more from here on.
            let decided = transactions.fence(logged.job_id)?;
            is_fenced = true;
            if decided.is_none() && matches!(claimant.from, StartFrom::Latest) {
                refuse_lost(logged)?;
            }
            let newest = decided.as_ref().filter(|decided| decided.incarnation > logged.last_in_log());
            start(Some(newest.unwrap_or(logged)))
        },
    )?;
    fail_point::reach("claim.logged");
    if !is_fenced {
        fence_first(claimant.job, &log, transactions)?;
    }
    Ok((log, start))
}

/// The ids of a job that had none before: whoever has claimed it since is not disturbed, if that can be known.
fn fence_first(job: &str, log: &DecisionLog, transactions: &dyn Transactions) -> Result<(), Fault> {
    let has_successor = log.is_superseded()? || transactions.fence(log.job_id())?.is_some();
    if has_successor { Err(superseded(job)) } else { Ok(()) }
}

/// Refuses where the log in the store has a checkpoint that was decided on in a transaction: Kafka knows of none.
fn refuse_lost(logged: &Record) -> Result<(), Fault> {
    let Decision::Complete { manifest } = &logged.decision else { return Ok(()) };
    if logged.transactional_ids.is_empty() {
        return Ok(());
    }
    let last = &manifest.path;
    Err(Fault::invalid(format!(
        "the topic of this job's decisions is empty, and its store knows of a checkpoint, `{last}`: was the topic deleted, \
         or are the brokers others? Bring it back or, if what was written since may be there twice, start with `--from`"
    )))
}
