//! Gives parts their names, which is when people see them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::connectors::{Committer, SinkId};
use crate::dataplane::sink_writer::Committable;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::plan::connector::FileSink;
use crate::plan::location::Location;
use crate::store::{Prepared, Store};

use super::sink::refuse_earlier;

/// `part-<job>.<sink>-<job's id>-<incarnation>-<slot>-<number>.<format>`: no two parts of all jobs have the same name, so
/// that several sinks may write into one directory.
#[derive(Clone)]
pub struct PartNames {
    /// What the parts of all lives of this sink begin with; a name has no point.
    sink: String,
    /// And those of one life, which ends when the job's checkpoints are deleted.
    life: String,
    incarnation: u64,
}

impl PartNames {
    pub fn new(of: &SinkId<'_>) -> Self {
        let sink = format!("part-{}.{}-", of.job, of.node);
        let (id, ..) = of.incarnation.job_id.as_fields();
        Self { life: format!("{sink}{id:08x}-"), sink, incarnation: of.incarnation.number }
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

    fn sweep(&mut self, is_fresh: bool) -> Result<(), Fault> {
        self.store.abort_uploads(&self.names.life)?;
        if is_fresh { refuse_earlier(&self.store, |found| found.starts_with(&self.names.sink)) } else { Ok(()) }
    }
}
