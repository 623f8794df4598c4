//! The transactions of a job's sinks, and the log of its decisions in them. Two transactional ids take turns: one's
//! transaction is written while the other's is committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::connectors::Transactions;
use crate::dataplane::sink_writer::SinkWriter;
use crate::model::decision::Record;
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::schema::Schema;
use crate::plan::connector::{KafkaSink, KafkaTopic};
use crate::plan::fault_tolerance::TransactionPlan;

use super::commit_topic::{self, CommitTopic};
use super::epochs::Epochs;
use super::record::RecordEncoder;
use super::transaction::Transaction;
use super::transactional_sink::TransactionalWriter;

/// How long to try to fence when a job starts: somebody waits for it.
const START: Duration = Duration::from_secs(30);
/// How long to try when a job has failed.
const END: Duration = Duration::from_secs(10);
/// Between looks at what the brokers have acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_millis(1);

/// `patience` is how long a commit may take.
pub fn open(plan: &TransactionPlan, patience: Duration) -> Arc<dyn Transactions> {
    let (fenced, ended) = (Mutex::default(), Mutex::default());
    Arc::new(JobTransactions { plan: plan.clone(), patience, epochs: Arc::default(), fenced, ended })
}

struct JobTransactions {
    plan: TransactionPlan,
    patience: Duration,
    epochs: Arc<Epochs>,
    /// What `fence` has made ready for `claim`.
    fenced: Mutex<Option<[Arc<Transaction>; 2]>>,
    /// The last one that is to be committed, or was, until the next has its id.
    ended: Mutex<Option<Arc<Transaction>>>,
}

fn ids(job_id: Uuid) -> [String; 2] {
    [format!("{job_id}-a"), format!("{job_id}-b")]
}

impl JobTransactions {
    fn open(&self, id: &str, patience: Duration) -> Result<Arc<Transaction>, Fault> {
        Transaction::open(&self.plan, id, patience)
    }

    /// All at once.
    fn fence_ids(&self, ids: &[String; 2], topic: &CommitTopic) -> Result<[Arc<Transaction>; 2], Fault> {
        thread::scope(|scope| {
            let fence = |id, place| {
                scope.spawn(move || {
                    let transaction = self.open(id, START);
                    fail_point::reach(place);
                    transaction
                })
            };
            let (a, b) = (fence(&ids[0], "claim.after_fence_a"), fence(&ids[1], "claim.after_fence_b"));
            topic.ensure()?;
            let joined = [a, b].map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Fault::internal("a thread that fences has panicked")))
            });
            let [a, b] = joined;
            Ok([a?, b?])
        })
    }

    /// Commits a record alone or behind what was written; the transaction has begun.
    fn commit_with(&self, record: &Record, transaction: &Arc<Transaction>) -> Result<(), Fault> {
        *self.ended() = Some(Arc::clone(transaction));
        let topic = CommitTopic::of(record.job_id, &self.plan.cluster).name;
        commit_topic::send(&topic, record, transaction)?;
        fail_point::reach("record.produced");
        transaction.producer().flush()?;
        fail_point::reach("record.acked");
        transaction.commit(self.patience)
    }

    fn ended(&self) -> MutexGuard<'_, Option<Arc<Transaction>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transactions for JobTransactions {
    fn ids(&self, job_id: Uuid) -> Vec<String> {
        ids(job_id).into()
    }

    fn fence(&self, job_id: Uuid) -> Result<Option<Record>, Fault> {
        let (ids, topic) = (ids(job_id), CommitTopic::of(job_id, &self.plan.cluster));
        let fenced = self.fence_ids(&ids, &topic)?;
        let mut decided = topic.read()?;
        let others: Vec<&String> = decided.claimed_ids.iter().filter(|id| !ids.contains(id)).collect();
        if !others.is_empty() {
            // Another version of wasmill wrote under these.
            others.into_iter().try_for_each(|id| self.open(id, START).map(Transaction::let_go))?;
            decided = topic.read()?;
        }
        fail_point::reach("claim.after_read");
        *self.fenced.lock().unwrap_or_else(PoisonError::into_inner) = Some(fenced);
        Ok(decided.last)
    }

    fn claim(&self, claim: &Record) -> Result<(), Fault> {
        let fenced = self.fenced.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some([a, b]) = fenced else {
            return Err(Fault::internal("transactions were claimed before others were fenced"));
        };
        // Under both ids: whoever has fenced one of them since has not been overlooked.
        for transaction in [&a, &b] {
            transaction.begin()?;
            self.commit_with(claim, transaction)?;
            fail_point::reach("claim.commit_sent");
        }
        *self.ended() = None;
        let [first, standby] = [&a, &b].map(|ended| self.open(ended.id(), self.patience));
        [a, b].into_iter().for_each(Transaction::let_go);
        let (first, standby) = (first?, standby?);
        // Another host may have claimed the job before these were opened, which has ended its transactions.
        let newest = CommitTopic::of(claim.job_id, &self.plan.cluster).read()?.last;
        if newest.is_none_or(|newest| newest.incarnation != claim.incarnation) {
            return Err(Fault::superseded(
                "another host has taken over the job: this one stops, and has written nothing",
            ));
        }
        self.epochs.start(first)?;
        self.epochs.supply(standby);
        Ok(())
    }

    fn open_writer(&self, sink: &KafkaSink, schema: &Schema) -> Result<Box<dyn SinkWriter>, Fault> {
        let encoder = RecordEncoder::new(sink, schema).map_err(Fault::invalid)?;
        if let KafkaTopic::Named(topic) = &sink.topic
            && let Some(transaction) = self.epochs.active()
        {
            transaction.producer().check_topic(topic)?;
        }
        Ok(Box::new(TransactionalWriter::new(encoder, &self.epochs, sink.queue_bytes_max)))
    }

    fn commit(&self, decision: &Record) -> Result<(), Fault> {
        let transaction = loop {
            match self.epochs.closed()? {
                Some(transaction) => break transaction,
                None => thread::sleep(ACKNOWLEDGED),
            }
        };
        self.commit_with(decision, &transaction)
    }

    fn renew(&self) -> Result<(), Fault> {
        let Some(ended) = self.ended().clone() else { return Ok(()) };
        self.epochs.supply(self.open(ended.id(), self.patience)?);
        *self.ended() = None;
        ended.let_go();
        Ok(())
    }

    fn abandon(&self, is_ours: bool) {
        for transaction in self.epochs.end() {
            transaction.abort();
            transaction.let_go();
        }
        let Some(ended) = self.ended().take() else { return };
        if !ended.is_ending() {
            ended.abort();
        } else if is_ours && let Err(fault) = self.open(ended.id(), END).map(Transaction::let_go) {
            // Whether it was committed is up to the brokers now; if they had not heard of it, this would have ended it.
            tracing::warn!("a transaction may hold up readers for {}: {fault}", self.plan.timeout);
        }
        ended.let_go();
    }
}
