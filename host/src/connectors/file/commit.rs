//! Gives parts their names, which is when people see them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::connectors::{Committer, SinkId};
use crate::dataplane::sink_writer::Committable;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::plan::connector::FileSink;
use crate::plan::location::Location;
use crate::store::{Prepared, Store};

use super::sink::refuse_earlier;

/// `part-<job>.<sink>-<job's id>-<incarnation>-<slot>-<number>.<format>`: no two parts of all jobs have the same name, so
/// that several sinks may write into one directory.
#[derive(Clone)]
pub struct PartNames {
    /// What the parts of one life of this sink begin with, which ends when the job's checkpoints are deleted.
    life: String,
    incarnation: u64,
}

/// What the parts of all lives of a sink begin with; a name has no point.
fn sink_prefix(job: &str, node: &Uid) -> String {
    format!("part-{job}.{node}-")
}

/// Refuses to write beside the parts of an earlier life.
pub fn check_fresh(sink: &FileSink, job: &str, node: &Uid) -> Result<(), Fault> {
    let prefix = sink_prefix(job, node);
    refuse_earlier(&Store::open(&sink.path)?, |found| found.starts_with(&prefix))
}

impl PartNames {
    pub fn new(of: &SinkId<'_>) -> Self {
        let (id, ..) = of.incarnation.job_id.as_fields();
        let life = format!("{}{id:08x}-", sink_prefix(of.job, of.node));
        Self { life, incarnation: of.incarnation.number }
    }

    /// Whether this start of the job or an earlier one gave this name. What later ones have prepared is theirs, and they
    /// may have decided on it: whoever asks may have been asleep.
    fn is_of_start_until_now(&self, name: &str) -> bool {
        let start = name.strip_prefix(&self.life).and_then(|rest| rest.split('-').next()?.parse::<u64>().ok());
        start.is_some_and(|start| start <= self.incarnation)
    }

    pub fn part(&self, slot: Slot, number: u64, extension: &str) -> String {
        format!("{}{}-{}-{number}.{extension}", self.life, self.incarnation, slot.0)
    }
}

/// A part that is whole and has not got its name. It may be committed by a job whose sink has moved since.
#[derive(Serialize, Deserialize)]
struct PreparedPart {
    directory: String,
    #[serde(flatten)]
    part: Prepared,
}

pub fn committable(store: &Store, part: Prepared) -> Result<Committable, Fault> {
    let prepared = serde_json::to_value(PreparedPart { directory: store.name().to_owned(), part });
    prepared.map_err(|error| Fault::internal(format!("a part cannot be written as JSON: {error}")))
}

fn parse(committable: &Committable) -> Result<PreparedPart, Fault> {
    serde_json::from_value(committable.clone()).map_err(|error| {
        Fault::invalid(format!("the checkpoint has {committable} for a sink of files, which is no part: {error}"))
    })
}

/// The folders in which prepared parts wait for their names, and how many of them do. A store is asked with what the
/// environment says of it; what it does not answer waits.
pub fn waiting(committables: &[Committable]) -> Result<BTreeMap<String, usize>, Fault> {
    let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
    for committable in committables {
        let PreparedPart { directory, part } = parse(committable)?;
        let location = Location::parse(Path::new(""), &directory, Vec::new());
        let is_waiting = Store::open_existing(&location)
            .and_then(|store| store.map_or(Ok(false), |store| store.is_waiting(&part)))
            .unwrap_or(true);
        if is_waiting {
            *waiting.entry(directory).or_default() += 1;
        }
    }
    Ok(waiting)
}

pub struct FileCommitter {
    location: Location,
    store: Store,
    names: PartNames,
}

impl FileCommitter {
    /// Creates the directory.
    pub fn open(sink: &FileSink, names: PartNames) -> Result<Self, Fault> {
        Ok(Self { location: sink.path.clone(), store: Store::open(&sink.path)?, names })
    }
}

impl Committer for FileCommitter {
    fn commit(&mut self, committables: &[Committable]) -> Result<(), Fault> {
        for committable in committables {
            let PreparedPart { directory, part } = parse(committable)?;
            match self.store.complete_upload(&part) {
                // The job says another directory now than when the part was prepared; or both have moved.
                Err(_) if directory != self.store.name() => {
                    Store::open(&self.location.elsewhere(&directory))?.complete_upload(&part)?;
                }
                completed => completed?,
            }
        }
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), Fault> {
        self.store.abort_uploads(|name| self.names.is_of_start_until_now(name))
    }
}
