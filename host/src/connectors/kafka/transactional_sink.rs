//! A topic, or several, as a sink that delivers exactly once: one slot's part of the transactions that all slots share.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::dataplane::sink_writer::{Committable, SinkWriter};
use crate::model::batch::Batch;
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;

use super::epochs::Epochs;
use super::record::RecordEncoder;
use super::transaction::Transaction;

pub struct TransactionalWriter {
    encoder: RecordEncoder,
    epochs: Arc<Epochs>,
    epoch: u64,
    /// `None` = the epoch has not begun.
    transaction: Option<Arc<Transaction>>,
    waiting: Waiting,
}

/// Output of an epoch that has not begun.
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Reached, the writer takes no more.
    bytes_max: usize,
}

impl TransactionalWriter {
    /// At most `waiting_bytes_max` wait for an epoch to begin, and what one batch of input makes.
    pub fn new(encoder: RecordEncoder, epochs: &Arc<Epochs>, waiting_bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(waiting_bytes_max).unwrap_or(usize::MAX);
        let waiting = Waiting { batches: VecDeque::new(), bytes: 0, bytes_max };
        Self { encoder, epoch: epochs.join(), epochs: Arc::clone(epochs), transaction: None, waiting }
    }

    /// Sends what waits if the epoch has begun; whether it has.
    fn catch_up(&mut self) -> Result<bool, Fault> {
        if self.transaction.is_none() {
            self.transaction = self.epochs.transaction(self.epoch)?;
        }
        let Some(transaction) = &self.transaction else { return Ok(false) };
        transaction.producer().check()?;
        for batch in self.waiting.batches.drain(..) {
            self.encoder.encode(&batch, |record| transaction.send(record))?;
        }
        self.waiting.bytes = 0;
        Ok(true)
    }

    fn take(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.catch_up()?;
        match &self.transaction {
            Some(transaction) => self.encoder.encode(batch, |record| transaction.send(record)),
            None => {
                self.waiting.bytes += batch.retained_bytes();
                self.waiting.batches.push_back(batch.clone());
                Ok(())
            }
        }
    }

    /// Where the job has ended, why nothing can be written is not the news.
    fn unless_over<T: Default>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        match result {
            Err(_) if self.epochs.is_over() => Ok(T::default()),
            result => result,
        }
    }
}

impl SinkWriter for TransactionalWriter {
    fn is_ready(&mut self) -> Result<bool, Fault> {
        if self.waiting.bytes < self.waiting.bytes_max {
            return Ok(true);
        }
        let caught_up = self.catch_up();
        self.unless_over(caught_up)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        let taken = self.take(batch);
        self.unless_over(taken)
    }

    /// Nobody sees it before the commit; but the sooner the brokers have it, the sooner that is.
    fn flush(&mut self) -> Result<(), Fault> {
        let caught_up = self.catch_up().map(drop);
        self.unless_over(caught_up)
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Committable>, Fault> {
        let caught_up = self.catch_up();
        if !self.unless_over(caught_up)? && !self.epochs.is_over() {
            return Err(Fault::internal(format!(
                "the barrier of checkpoint {checkpoint} came before the transaction of the one before was committed"
            )));
        }
        self.transaction = None;
        self.epoch += 1;
        self.epochs.pass();
        Ok(Vec::new())
    }

    /// The last checkpoint commits.
    fn finish(&mut self) -> Result<(), Fault> {
        self.flush()
    }
}
