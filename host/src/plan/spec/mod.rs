//! What people write: the job file, read field by field into types that hold only what can be meant. Names and schemas
//! are not resolved here; see `resolve`.

mod fault_tolerance;
mod kafka;
mod limits;
mod operator;
mod reader;
mod sink;
mod source;
mod state_backend;
mod tree;
mod units;

use std::path::{Path, PathBuf};

use super::connector::DeadLetterFile;
use super::diagnostic::{Errors, JobText, Span, Spanned, all};
use super::fault_tolerance::{CheckpointPlan, RestartPlan};
use super::graph::Limits;
use super::location::Location;
use super::state_backend::StateBackend;

pub use operator::{
    AggregateCall, AggregateSpec, Function, OperatorKindSpec, OperatorSpec, PluginSpec, ProcessSpec, WindowSpec,
};
pub use sink::{ColumnRole, SinkSpec};
pub use source::{EventTimeSpec, SourceSpec, TimeSpec, WatermarkSpec};

use reader::{Reader, nowhere};
use tree::{Entry, Item, Value};

/// Key groups unless the job says otherwise.
pub const MAX_PARALLELISM: u16 = 128;
const MAX_PARALLELISM_MAX: u64 = 32_768;

/// A job as its file says it.
#[derive(Clone, Debug)]
pub struct JobSpec {
    pub name: Spanned<String>,
    /// Slots; the caller knows what to take otherwise.
    pub parallelism: Option<Spanned<u16>>,
    pub max_parallelism: u16,
    pub limits: Limits,
    pub dead_letters: DeadLetterFile,
    pub checkpoints: Option<CheckpointPlan>,
    pub restart: RestartPlan,
    pub state: StateBackend,
    pub sources: Vec<SourceSpec>,
    pub operators: Vec<OperatorSpec>,
    pub sinks: Vec<SinkSpec>,
}

/// One of the `inputs` of an operator or a sink.
#[derive(Clone, Debug)]
pub struct InputSpec {
    pub from: Spanned<String>,
    /// `main` unless written behind a point.
    pub port: String,
    pub exchange: Option<Spanned<ForcedExchange>>,
}

/// An exchange that the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedExchange {
    Forward,
    Rebalance,
    Broadcast,
}

pub(super) const EXCHANGES: [(&str, ForcedExchange); 3] = [
    ("forward", ForcedExchange::Forward),
    ("rebalance", ForcedExchange::Rebalance),
    ("broadcast", ForcedExchange::Broadcast),
];

/// Reads a job. Relative paths are resolved against `folder`, the job file's. `None` only when there are errors.
pub fn read(text: &JobText, folder: &Path, errors: &Errors) -> Option<JobSpec> {
    let root = tree::parse(text, errors);
    if !errors.is_empty() {
        return None;
    }
    let job = Reader::new("the job", Span { start: 0, end: 0 }, &root, errors);
    let spec = read_job(job, folder, errors);
    if errors.is_empty() { spec } else { None }
}

fn read_job(mut job: Reader, folder: &Path, errors: &Errors) -> Option<JobSpec> {
    let name = job.required("name", Reader::text).filter(|name| check_name("job", name, errors));
    let max_parallelism = job.integer("max_parallelism", 1, MAX_PARALLELISM_MAX);
    let max_parallelism = max_parallelism.map_or(MAX_PARALLELISM, |max| max.value as u16);
    let parallelism = parallelism(&mut job, max_parallelism);
    let dead_letters = job.table("dead_letters").and_then(|mut table| {
        let path = table.required("path", Reader::text);
        table.finish(nowhere);
        path.map(|path| folder.join(path.value))
    });
    let limits = limits::read(&mut job);
    let dead_letter_limit = job.percent("dead_letter_limit");
    let job_name = name.as_ref().map_or("job", |name| name.value.as_str());
    let sources = nodes(&mut job, "sources", |entry| source::read(entry, folder, max_parallelism, errors));
    let operators = nodes(&mut job, "operators", |entry| operator::read(entry, folder, max_parallelism, errors));
    let sinks = nodes(&mut job, "sinks", |entry| sink::read(entry, folder, max_parallelism, errors));
    let is_exactly_once = sinks.iter().any(|sink| sink.exactly_once().is_some());
    let checkpoints = fault_tolerance::read_checkpoints(&mut job, folder, job_name, is_exactly_once);
    let restart = fault_tolerance::read_restart(&mut job, checkpoints.is_some());
    let location = checkpoints.as_ref().map(|checkpoints| &checkpoints.location);
    let state = state_backend::read(&mut job, folder, job_name, location);
    job.finish(nowhere);

    let name = name?;
    let path = dead_letters.unwrap_or_else(|| folder.join(format!("{}.dead-letters.jsonl", name.value)));
    let dead_letter_fraction_max = dead_letter_limit.unwrap_or(limits.dead_letter_fraction_max);
    Some(JobSpec {
        name,
        parallelism,
        max_parallelism,
        limits: Limits { dead_letter_fraction_max, ..limits },
        dead_letters: DeadLetterFile { path },
        checkpoints,
        restart,
        state,
        sources,
        operators,
        sinks,
    })
}

fn nodes<T>(job: &mut Reader, section: &'static str, read: impl Fn(&Entry) -> Option<T>) -> Vec<T> {
    job.named(section).unwrap_or_default().iter().filter_map(read).collect()
}

/// Names become uids, file names and metric labels.
fn check_name(what: &str, name: &Spanned<String>, errors: &Errors) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let good = !name.is_empty() && name.chars().all(allowed);
    if !good {
        let message = format!("`{}` cannot be the name of a {what}", name.value);
        errors.add_with_help(name.span, message, "a name consists of letters a-z and A-Z, digits, `_` and `-`");
    }
    good
}

/// The reader of a node's table and its name.
fn node<'a>(kind: &str, entry: &'a Entry, errors: &'a Errors) -> Option<(Spanned<String>, Reader<'a>)> {
    let mut fields = Reader::of(&format!("{kind} `{}`", entry.name.value), &entry.item, errors)?;
    // The table itself may be many lines.
    fields.span = entry.name.span;
    check_name(kind, &entry.name, errors).then(|| (entry.name.clone(), fields))
}

fn parallelism(fields: &mut Reader, max: u16) -> Option<Spanned<u16>> {
    let slots = fields.integer("parallelism", 1, u64::MAX)?;
    if slots.value > u64::from(max) {
        let message = format!("`parallelism` {} is above `max_parallelism`, which is {max}", slots.value);
        fields.errors.add(slots.span, message);
        return None;
    }
    Some(slots.map(|slots| slots as u16))
}

fn inputs(fields: &mut Reader) -> Option<Vec<InputSpec>> {
    let errors = fields.errors;
    let items = fields.required("inputs", Reader::array)?;
    if items.is_empty() {
        errors.add(items.span, format!("{} needs at least one input", fields.what));
    }
    all(items.iter().map(|item| input(item, errors)))
}

/// What an operator's second input consists of; empty = it has none.
fn broadcast(fields: &mut Reader) -> Option<Vec<InputSpec>> {
    if !fields.has("broadcast") {
        fields.item("broadcast");
        return Some(Vec::new());
    }
    let errors = fields.errors;
    let items = fields.array("broadcast")?;
    if items.is_empty() {
        errors.add_with_help(items.span, "`broadcast` names nothing", "leave it out where nothing is broadcast");
    }
    let inputs = all(items.iter().map(|item| input(item, errors)))?;
    for exchange in inputs.iter().filter_map(|input| input.exchange.as_ref()) {
        errors.add_with_help(exchange.span, "what is broadcast goes to every slot", "leave `exchange` out");
    }
    Some(inputs)
}

fn input(item: &Item, errors: &Errors) -> Option<InputSpec> {
    let (path, exchange) = match &item.value {
        Value::Table(_) => {
            let mut fields = Reader::of("an input", item, errors)?;
            let from = fields.required("from", Reader::text);
            let exchange = fields.choice("exchange", &EXCHANGES);
            fields.finish(nowhere);
            (from?, exchange)
        }
        _ => (reader::text("inputs", item, errors)?, None),
    };
    let (from, port) = path.split_once('.').unwrap_or((path.as_str(), "main"));
    Some(InputSpec { from: Spanned::new(from.to_owned(), path.span), port: port.to_owned(), exchange })
}

fn resolved(folder: &Path, path: Spanned<String>) -> Spanned<PathBuf> {
    path.map(|path| folder.join(path))
}

/// A path or a URL, and in `options` what its object store wants to know.
fn location(name: &'static str, fields: &mut Reader, folder: &Path) -> Option<Spanned<Location>> {
    let text = fields.required(name, Reader::text);
    let entries = fields.named("options").unwrap_or_default();
    let options = all(entries.iter().map(|option| {
        let name = &option.name.value;
        Some((name.clone(), reader::text(name, &option.item, fields.errors)?.value))
    }));
    let location = text?.map(|text| Location::parse(folder, &text, options.unwrap_or_default()));
    if let (Location::Folder(_), Some(first)) = (&location.value, entries.first()) {
        let message =
            format!("`options` are those of an object store, and `{location}` is none", location = location.value);
        fields.errors.add(first.name.span, message);
        return None;
    }
    Some(location)
}
