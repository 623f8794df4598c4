//! Layer 3: sources and sinks. What the data plane knows of them are the traits of `dataplane::{split, sink_writer,
//! dead_letter}`; the plan's settings say which to open.

mod blackhole;
mod dead_letters;
mod file;
mod format;
mod generator;
mod kafka;
mod names;
mod stdin;
mod stdout;

pub use blackhole::Blackhole;
pub use dead_letters::DeadLetters;
pub use generator::write::write_events;
pub use names::Names;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use uuid::Uuid;

use crate::dataplane::sink_writer::{Committable, SinkWriter};
use crate::dataplane::split::{ReadLimits, SplitEnumerator, SplitState};
use crate::model::checkpoint::Incarnation;
use crate::model::decision::Record;
use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot, Uid};
use crate::model::schema::Schema;
use crate::plan::connector::{DeadLetterFile, Delivery, KafkaSink, SinkConnector, SourceConnector, SourcePlan};
use crate::plan::fault_tolerance::CheckpointPlan;

use format::Decoder;

/// The splits of a source that one slot of `slots` reads.
pub fn open_source(plan: &SourcePlan, slot: Slot, slots: Parallelism) -> Result<Box<dyn SplitEnumerator>, Fault> {
    match &plan.connector {
        SourceConnector::File(source) => file::open(source, &plan.schema, slot, slots),
        SourceConnector::Generator(source) => generator::open(source, &plan.schema, slot, slots),
        SourceConnector::Kafka(source) => kafka::open_source(source, &plan.schema, slot, slots),
        SourceConnector::Stdin { format } => stdin::open(format, &plan.schema, slot),
    }
}

/// One row from JSON, as sources decode it. The error says what is wrong with the text.
pub fn decode_json_row(schema: &Schema, text: &str) -> Result<RecordBatch, String> {
    let mut decoder = format::json::JsonDecoder::new(schema);
    let input = format::Input { bytes: text.as_bytes(), offset: 0, is_last: true };
    decoder.decode(input, ReadLimits { rows_max: 1, bytes_max: text.len().max(1) });
    let rows = decoder.decoded().finish();
    match rows.refused.into_iter().next() {
        Some(refused) => Err(refused.reason),
        None if rows.records.num_rows() == 1 => Ok(rows.records),
        None => Err("it is empty".to_owned()),
    }
}

/// How many splits a source has now. The error says what is wrong with it.
pub fn count_splits(source: &SourceConnector) -> Result<usize, String> {
    match source {
        SourceConnector::File(source) => file::count_splits(source),
        SourceConnector::Generator(source) => Ok(usize::from(source.splits.max(1))),
        SourceConnector::Kafka(source) => kafka::count_splits(source),
        SourceConnector::Stdin { .. } => Ok(1),
    }
}

/// Where the splits of a source start that would start elsewhere a moment later; `None` = it reads the same then.
pub fn starting_splits(source: &SourceConnector) -> Result<Option<Vec<SplitState>>, Fault> {
    match source {
        SourceConnector::Kafka(source) => kafka::starting_splits(source),
        SourceConnector::File(_) | SourceConnector::Generator(_) | SourceConnector::Stdin { .. } => Ok(None),
    }
}

/// A sink in a start of a job that has checkpoints: whose is what is prepared, and who may remove it.
#[derive(Clone, Copy, Debug)]
pub struct SinkId<'a> {
    pub job: &'a str,
    pub node: &'a Uid,
    pub incarnation: Incarnation,
}

/// The part of a sink that one slot writes. Open those of all slots, slot 0 among them, before any is written.
/// `of` is that of a job that has checkpoints; `transactions` are those that it has claimed.
pub fn open_sink(
    sink: &SinkConnector,
    schema: &Schema,
    slot: Slot,
    of: Option<&SinkId<'_>>,
    transactions: Option<&dyn Transactions>,
) -> Result<Box<dyn SinkWriter>, Fault> {
    Ok(match sink {
        SinkConnector::File(sink) => match of {
            None => Box::new(file::sink::FileWriter::open(sink, schema, slot)?),
            Some(of) => Box::new(file::part::PartWriter::open(sink, schema, slot, file::commit::PartNames::new(of))?),
        },
        SinkConnector::Kafka(sink) => match (sink.delivery, transactions) {
            (Delivery::AtLeastOnce, _) => kafka::open_sink(sink, schema)?,
            (Delivery::ExactlyOnce, Some(transactions)) => transactions.open_writer(sink, schema)?,
            (Delivery::ExactlyOnce, None) => {
                return Err(Fault::internal("a sink that delivers exactly once has no transactions to write in"));
            }
        },
        SinkConnector::Stdout { format } => {
            Box::new(stdout::StdoutWriter::open(std::io::stdout(), *format, schema, slot)?)
        }
        SinkConnector::Blackhole => Box::new(Blackhole::default()),
    })
}

/// Makes visible what the writers of a sink have prepared (`SinkWriter::prepare`), once it is decided that it happens.
pub trait Committer: Send {
    /// Idempotent: it is called again after an error, and when the job starts from the checkpoint that has these.
    fn commit(&mut self, committables: &[Committable]) -> Result<(), Fault>;

    /// Removes what starts of the job up to this one have prepared and will never commit. Called before any writer is
    /// opened, after what is to be committed has been.
    fn sweep(&mut self) -> Result<(), Fault>;
}

/// Refuses to add to the results that an earlier job of this name has left where a sink with a `Committer` writes. For a
/// job that starts from nothing, before it is claimed: a start that is refused has changed nothing.
pub fn check_fresh(sink: &SinkConnector, job: &str, node: &Uid) -> Result<(), Fault> {
    match sink {
        SinkConnector::File(sink) => file::commit::check_fresh(sink, job, node),
        SinkConnector::Kafka(_) | SinkConnector::Stdout { .. } | SinkConnector::Blackhole => Ok(()),
    }
}

/// Where something is that a sink has prepared and nobody has committed, and how much there; of any sink, also one that the
/// job has no more.
pub fn uncommitted(committables: &[Committable]) -> Result<BTreeMap<String, usize>, Fault> {
    file::commit::waiting(committables)
}

/// Whether the sink's writers hide what they write until a checkpoint covers it: then it has a committer.
pub fn commits(sink: &SinkConnector) -> bool {
    matches!(sink, SinkConnector::File(_))
}

/// `None` = the sink's writers hide nothing.
pub fn open_committer(sink: &SinkConnector, of: &SinkId<'_>) -> Result<Option<Box<dyn Committer>>, Fault> {
    Ok(match sink {
        SinkConnector::File(sink) => {
            Some(Box::new(file::commit::FileCommitter::open(sink, file::commit::PartNames::new(of))?))
        }
        SinkConnector::Kafka(_) | SinkConnector::Stdout { .. } | SinkConnector::Blackhole => None,
    })
}

/// Tells people's tools how far a source has come. Nothing depends on whether they hear it.
pub trait Offsets: Send {
    /// Where the splits are of which a complete checkpoint knows; must not block.
    fn report(&mut self, splits: &[SplitState]);
}

/// `None` = nobody asks.
pub fn open_offsets(source: &SourceConnector) -> Result<Option<Box<dyn Offsets>>, Fault> {
    match source {
        SourceConnector::Kafka(source) => kafka::GroupOffsets::open(source),
        _ => Ok(None),
    }
}

/// The transactions that the sinks of a job write in, one for each checkpoint, and the log of decisions that they hold.
/// Whoever claims them ends those of everybody else.
///
/// Order of calls: `fence`, `claim`; perhaps `commit` and `renew` of a checkpoint before there is any writer; `open_writer` for
/// every sink and slot; then `commit` and `renew` for each checkpoint, whose barrier has passed every writer before `commit`
/// and is injected after the `renew` of the one before. After an error, `abandon` and nothing else.
pub trait Transactions: Send + Sync {
    /// Under which a job writes.
    fn ids(&self, job_id: Uuid) -> Vec<String>;

    /// Ends what other starts of the job write, and returns what they decided last.
    fn fence(&self, job_id: Uuid) -> Result<Option<Record>, Fault>;

    /// Writes the claim of this start into the log.
    fn claim(&self, claim: &Record) -> Result<(), Fault>;

    /// What one slot writes.
    fn open_writer(&self, sink: &KafkaSink, schema: &Schema) -> Result<Box<dyn SinkWriter>, Fault>;

    /// Makes visible what was written before the last barrier, together with this decision; blocks until that has
    /// happened. After an error it may have happened or not.
    fn commit(&self, decision: &Record) -> Result<(), Fault>;

    /// Gets ready for the next barrier.
    fn renew(&self) -> Result<(), Fault>;

    /// Lets go of what was not committed, so that no reader waits for it. `is_ours` = nobody else has claimed the job.
    fn abandon(&self, is_ours: bool);
}

/// `None` = no sink of the job needs them.
pub fn open_transactions(checkpoints: &CheckpointPlan) -> Option<Arc<dyn Transactions>> {
    let plan = checkpoints.transactions.as_ref()?;
    Some(kafka::open_transactions(plan, checkpoints.timeout.into()))
}

/// The dead letters of a job: each slot gets a clone.
pub fn open_dead_letters(file: &DeadLetterFile) -> DeadLetters {
    DeadLetters::new(file)
}
