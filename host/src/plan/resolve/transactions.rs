//! Sinks that deliver exactly once: whether the transactions that they share can work.

use crate::model::time::Micros;
use crate::plan::connector::KafkaSink;
use crate::plan::diagnostic::Errors;
use crate::plan::fault_tolerance::{CheckpointPlan, TransactionPlan};
use crate::plan::spec::{JobSpec, SinkSpec};

/// The user's, in milliseconds, where it is not what the checkpoints come to.
const TIMEOUT: &str = "transaction.timeout.ms";
/// What brokers allow unless `transaction.max.timeout.ms` says more: 15 minutes.
const TIMEOUT_MAX: Micros = Micros(900_000_000);

/// The checkpoints of the job, with the transactions of its sinks. `None` is also the answer to mistakes.
pub fn checkpoints(job: &JobSpec, errors: &Errors) -> Option<CheckpointPlan> {
    let mut sinks = job.sinks.iter().filter_map(|spec| Some((spec, spec.exactly_once()?)));
    let Some((first, kafka)) = sinks.next() else { return job.checkpoints.clone() };
    let mut queue_bytes_max = kafka.queue_bytes_max;
    for (spec, other) in sinks {
        queue_bytes_max = queue_bytes_max.max(other.queue_bytes_max);
        if other.cluster != kafka.cluster {
            let (a, b) = (&first.uid.value, &spec.uid.value);
            let message = format!("the sinks `{a}` and `{b}` both deliver exactly once, and not to one cluster");
            let help = "they share transactions: give both the same `brokers` and `properties`";
            errors.add_with_help(spec.uid.span, message, help);
        }
    }
    let Some(checkpoints) = &job.checkpoints else {
        let message = format!("sink `{}` delivers exactly once, which a job does by its checkpoints", first.uid.value);
        errors.add_with_help(first.uid.span, message, "give the job a table [checkpoints]");
        return None;
    };
    let timeout = timeout(checkpoints, first, kafka, errors)?;
    let transactions = TransactionPlan { cluster: kafka.cluster.clone(), timeout, queue_bytes_max };
    Some(CheckpointPlan { transactions: Some(transactions), ..checkpoints.clone() })
}

/// When brokers abort a transaction: not before a checkpoint may still become complete.
fn timeout(checkpoints: &CheckpointPlan, sink: &SinkSpec, kafka: &KafkaSink, errors: &Errors) -> Option<Micros> {
    let needed = checkpoints.transaction_length();
    let uid = &sink.uid.value;
    let sum = format!("a transaction of sink `{uid}` may take interval + 2 x timeout + 30s of [checkpoints], {needed}");
    let (message, help) = match kafka.cluster.properties.get(TIMEOUT) {
        None if needed <= TIMEOUT_MAX => return Some(needed),
        None => (
            format!("{sum}: more than the {TIMEOUT_MAX} that brokers allow unless told"),
            format!(
                "set a shorter `timeout` there; or raise `transaction.max.timeout.ms` of the brokers, and say so by \
                 \"{TIMEOUT}\" in `properties`"
            ),
        ),
        Some(text) => match text.parse::<i64>().ok().and_then(|millis| millis.checked_mul(1_000)).map(Micros) {
            Some(timeout) if timeout >= needed => return Some(timeout),
            Some(timeout) => (
                format!("{sum}, and \"{TIMEOUT}\" is {timeout}"),
                "raise it, leave it out, or set a shorter `timeout` in [checkpoints]".to_owned(),
            ),
            None => (
                format!("sink `{uid}`: \"{TIMEOUT}\" is a number of milliseconds, not `{text}`"),
                "leave it out: it follows from [checkpoints]".to_owned(),
            ),
        },
    };
    errors.add_with_help(sink.uid.span, message, help);
    None
}
