//! Decisions on a job's checkpoints: in the log in its store or, where sinks write in transactions, in these. Then the log
//! in the store orders the starts of the job, and follows in what it says of checkpoints.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::connectors::Transactions;
use crate::model::decision::{Decision, ManifestRef, Record};
use crate::model::fail_point;
use crate::model::fault::{Fault, FaultKind};
use crate::storage::decisions::DecisionLog;
use crate::store::Store;

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

impl Decisions {
    /// Makes this process the one that runs the job called `job`: it starts from what `start` makes of the last decision,
    /// or from what a person chose (`is_chosen`).
    pub fn claim(
        job: &str,
        store: &Store,
        transactions: Option<Arc<dyn Transactions>>,
        is_chosen: bool,
        mut start: impl FnMut(Option<&Record>) -> Result<Option<ManifestRef>, Fault>,
    ) -> Result<Self, Fault> {
        let decisions = |log, transactions| Self { job: job.to_owned(), log, transactions, unlogged: None };
        let Some(transactions) = transactions else {
            return Ok(decisions(DecisionLog::claim(store, |_| Vec::new(), start)?.0, None));
        };
        let mut claims = 1;
        loop {
            let (log, start) = claim_in_log(store, transactions.as_ref(), is_chosen, &mut start)?;
            let claim = log.record(Decision::Claim { start });
            let decisions = decisions(log, Some(Arc::clone(&transactions)));
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
        if self.log.complete(manifest)? { Ok(()) } else { Err(self.superseded()) }
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
        if let Ok(true) = self.log.is_superseded() { Err(self.superseded()) } else { Ok(()) }
    }

    fn superseded(&self) -> Fault {
        Fault::superseded(format!(
            "another host has taken over the job `{}`: this one stops, and has changed nothing since",
            self.job
        ))
    }
}

/// Claims the job in its store, from what was decided last: in a transaction, unless a later start of the job went without.
fn claim_in_log(
    store: &Store,
    transactions: &dyn Transactions,
    is_chosen: bool,
    start: &mut impl FnMut(Option<&Record>) -> Result<Option<ManifestRef>, Fault>,
) -> Result<(DecisionLog, Option<ManifestRef>), Fault> {
    let mut is_fenced = false;
    let (log, start) = DecisionLog::claim(
        store,
        |job_id| transactions.ids(job_id),
        |logged| {
            let Some(logged) = logged else { return start(None) };
            // The log may be one decision behind, and nothing is decided any more from here on.
            let decided = transactions.fence(logged.job_id)?;
            is_fenced = true;
            if decided.is_none() && !is_chosen && matches!(logged.decision, Decision::Complete { .. }) {
                refuse_lost(logged)?;
            }
            let newest = decided.as_ref().filter(|decided| decided.incarnation >= logged.incarnation);
            start(Some(newest.unwrap_or(logged)))
        },
    )?;
    if !is_fenced {
        transactions.fence(log.job_id())?;
    }
    Ok((log, start))
}

/// The log in the store says that a checkpoint was decided on in a transaction, and Kafka knows of none.
fn refuse_lost(logged: &Record) -> Result<(), Fault> {
    if logged.transactional_ids.is_empty() {
        return Ok(());
    }
    let last = logged.decision.state().map_or("nothing", |manifest| manifest.path.as_str());
    Err(Fault::invalid(format!(
        "the topic of this job's decisions is empty, and its store knows of a checkpoint, `{last}`: was the topic deleted, \
         or are the brokers others? Bring it back or, if what was written since may be there twice, start with `--from`"
    )))
}
