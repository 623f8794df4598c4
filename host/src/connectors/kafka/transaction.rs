//! One transaction of Kafka, and the producer that makes it: from the fencing of its transactional id to its commit. A
//! producer makes one only, because a commit that its coordinator hears late could otherwise commit half of the next
//! (librdkafka knows no KIP-890): a new one has a new epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer as _;

use crate::model::fault::Fault;
use crate::plan::fault_tolerance::TransactionPlan;

use super::client::ANSWER;
use super::faults::is_refusal;
use super::producer::Producer;
use super::record::Record;

/// How long brokers may take at first to make an id ready; each time twice as long.
const READY: Duration = Duration::from_millis(100);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(20);
/// Calls of librdkafka have been seen to hang: one that takes longer than it was told to, by this, is left behind.
const HANGS: Duration = Duration::from_secs(5);
/// How long brokers may take for a request; otherwise librdkafka derives it from the time of the transaction.
const SOCKET_MILLIS: &str = "10000";

pub struct Transaction {
    producer: Producer,
    id: String,
    /// Its outcome is up to the brokers.
    is_ending: AtomicBool,
}

impl Transaction {
    /// Ends what others write under this id, then is ready to begin.
    pub fn open(plan: &TransactionPlan, id: &str, patience: Duration) -> Result<Arc<Self>, Fault> {
        let deadline = Instant::now() + patience;
        let timeout = (plan.timeout.0 / 1_000).to_string();
        let own = [
            ("transactional.id", id),
            ("transaction.timeout.ms", timeout.as_str()),
            ("socket.timeout.ms", SOCKET_MILLIS),
        ];
        let mut limit = READY;
        loop {
            let producer = Producer::open(&plan.cluster, plan.queue_bytes_max, &own)?;
            let transaction = Arc::new(Self { producer, id: id.to_owned(), is_ending: AtomicBool::new(false) });
            match transaction.call(limit, move |client| client.init_transactions(limit)) {
                Ok(()) => return Ok(transaction),
                // Another start of the job fences at the same time, or the last transaction is still being finished:
                // librdkafka would wait for half a second until it asks again, a new producer asks at once.
                Err(error) if Instant::now() < deadline && !is_final(&error) && !transaction.is_refused() => {
                    tracing::debug!("transactional id `{id}` is not ready yet: {error}");
                    transaction.let_go();
                    thread::sleep(PAUSE);
                    limit = (limit * 2).min(ANSWER);
                }
                Err(error) => return Err(transaction.fault(&error)),
            }
        }
    }

    /// From now on `send` is allowed. Nobody is told before there is a message.
    pub fn begin(&self) -> Result<(), Fault> {
        self.producer.client().begin_transaction().map_err(|error| self.fault(&error))
    }

    pub fn send(&self, record: Record<'_>) -> Result<(), Fault> {
        self.producer.send(record)
    }

    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Everything that was sent has been acknowledged: makes it visible. After an error that may have happened or not.
    pub fn commit(self: &Arc<Self>, patience: Duration) -> Result<(), Fault> {
        let deadline = Instant::now() + patience;
        self.is_ending.store(true, Relaxed);
        loop {
            match self.call(ANSWER, |client| client.commit_transaction(ANSWER)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    tracing::debug!("transaction of `{}` is not committed yet: {}", self.id, error.string());
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(self.fault(&error)),
            }
        }
    }

    /// Whether `commit` was called: then it must not be aborted any more.
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Relaxed)
    }

    /// Tells the brokers that it will not be committed, if they can be reached; otherwise its time runs out.
    pub fn abort(self: &Arc<Self>) {
        if let Err(error) = self.call(ANSWER, |client| client.abort_transaction(ANSWER)) {
            tracing::debug!("transaction of `{}` is not aborted: {}", self.id, self.fault(&error));
        }
    }

    /// Closes the producer, which takes its time, on a thread of its own.
    pub fn let_go(self: Arc<Self>) {
        // Without a thread it is closed here.
        let _ = thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(self));
    }

    fn call(
        self: &Arc<Self>,
        limit: Duration,
        call: impl FnOnce(&rdkafka::producer::ThreadedProducer<super::client::Context>) -> Result<(), KafkaError>
        + Send
        + 'static,
    ) -> Result<(), KafkaError> {
        let (sender, receiver) = channel();
        let transaction = Arc::clone(self);
        let run = move || drop(sender.send(call(transaction.producer.client())));
        let thread = thread::Builder::new().name("kafka-transaction".to_owned()).spawn(run);
        thread.map_err(|_| KafkaError::Canceled)?;
        receiver.recv_timeout(limit + HANGS).unwrap_or(Err(KafkaError::Canceled))
    }

    /// Whether no broker lets this client in.
    fn is_refused(&self) -> bool {
        self.producer.client().client().context().refusal().is_some()
    }

    fn fault(&self, error: &KafkaError) -> Fault {
        let what = format!("transactional id `{}`", self.id);
        match error.rdkafka_error_code() {
            Some(Code::InvalidTransactionTimeout) => Fault::invalid(format!(
                "{what}: the brokers do not allow transactions of that length, which follows from `interval` and `timeout` \
                 of [checkpoints]: shorten these, or raise `transaction.max.timeout.ms` of the brokers"
            )),
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                Fault::unavailable(format!("{what}: another start of the job writes under it"))
            }
            _ if matches!(error, KafkaError::Canceled) => {
                Fault::unavailable(format!("{what}: librdkafka does not answer"))
            }
            _ => self.producer.fault(&what, error),
        }
    }
}

/// Whether trying again would not help.
fn is_final(error: &KafkaError) -> bool {
    let is_final = |code| {
        matches!(
            code,
            Code::InvalidTransactionTimeout
                | Code::TransactionalIdAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnsupportedFeature
        )
    };
    error.rdkafka_error_code().is_some_and(|code| is_refusal(code) || is_final(code))
}
