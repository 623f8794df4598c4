//! What decides which checkpoint counts: a log of records, each put where there was none. A start of the job claims it,
//! a complete checkpoint is decided on; whoever finds a record in its way has been succeeded by another host.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::fault::Fault;

use super::manifest::ManifestRef;
use crate::store::{Created, Store};

const FOLDER: &str = "decisions";
/// Records that are kept behind the last one. A host that was asleep for this many checkpoints finds newer records when
/// it looks behind its own.
const KEPT: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    pub job_id: Uuid,
    /// Counts the starts of the job.
    pub incarnation: u64,
    pub decision: Decision,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The job starts, from this checkpoint or from nothing.
    Claim { start: Option<ManifestRef> },
    /// The checkpoint is complete: what it covers has happened.
    Complete { manifest: ManifestRef },
}

impl Decision {
    /// What the job goes on from after this.
    pub fn state(&self) -> Option<&ManifestRef> {
        match self {
            Self::Claim { start } => start.as_ref(),
            Self::Complete { manifest } => Some(manifest),
        }
    }
}

/// The log as its writer sees it.
pub struct Decisions {
    store: Store,
    /// The number of the last record.
    last: u64,
    job_id: Uuid,
    incarnation: u64,
}

const FORMAT: u32 = 1;

fn key(number: u64) -> String {
    format!("{FOLDER}/{number:020}.json")
}

fn number(key: &str) -> Option<u64> {
    key.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
}

/// The last record, and its number; `None` = the job never started here.
pub fn last(store: &Store) -> Result<Option<(u64, Record)>, Fault> {
    let Some(last) = store.list(FOLDER)?.iter().filter_map(|key| number(key)).max() else { return Ok(None) };
    let key = key(last);
    let broken = |error: &dyn std::fmt::Display| {
        Fault::invalid(format!(
            "`{}`, the last decision on this job's checkpoints, cannot be read: {error}",
            store.name_of(&key)
        ))
    };
    let bytes = store.get(&key)?.ok_or_else(|| broken(&"it has just been deleted"))?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| broken(&error))?;
    if record.format != FORMAT {
        return Err(broken(&format!("it is of format {}", record.format)));
    }
    Ok(Some((last, record)))
}

impl Decisions {
    /// Makes this process the one that runs the job: it starts from what `start` makes of the last decision. A host that
    /// ran it until now cannot decide anything any more.
    pub fn claim(
        store: &Store,
        mut start: impl FnMut(Option<&Record>) -> Result<Option<ManifestRef>, Fault>,
    ) -> Result<(Self, Option<ManifestRef>), Fault> {
        loop {
            let before = last(store)?;
            let start = start(before.as_ref().map(|(_, record)| record))?;
            let (number, job_id, incarnation) = match &before {
                None => (0, Uuid::new_v4(), 0),
                Some((number, record)) => (*number, record.job_id, record.incarnation),
            };
            let mut log = Self { store: store.clone(), last: number, job_id, incarnation: incarnation + 1 };
            // Another host may start the job at the same time: one of the two finds the other's claim.
            if log.append(Decision::Claim { start: start.clone() })? {
                return Ok((log, start));
            }
        }
    }

    pub fn job_id(&self) -> Uuid {
        self.job_id
    }

    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether another host has claimed the job since: what goes wrong then is its doing.
    pub fn is_superseded(&self) -> Result<bool, Fault> {
        Ok(self.store.list(FOLDER)?.iter().filter_map(|key| number(key)).any(|number| number > self.last))
    }

    /// What to tell of a fault, at the job called `job`.
    pub fn explain(&self, fault: Fault, job: &str) -> Fault {
        match self.is_superseded() {
            Ok(true) => Fault::superseded(format!(
                "another host has taken over the job `{job}`: this one stops, and has changed nothing since"
            )),
            Ok(false) | Err(_) => fault,
        }
    }

    /// Whether the checkpoint is complete now; if not, another host has taken the job over. After an error it may be
    /// either: ask again.
    pub fn complete(&mut self, manifest: ManifestRef) -> Result<bool, Fault> {
        let decided = self.append(Decision::Complete { manifest })?;
        if decided && let Some(old) = self.last.checked_sub(KEPT) {
            self.store.delete(&key(old))?;
        }
        Ok(decided)
    }

    fn append(&mut self, decision: Decision) -> Result<bool, Fault> {
        let record = Record { format: FORMAT, job_id: self.job_id, incarnation: self.incarnation, decision };
        let bytes = serde_json::to_vec_pretty(&record)
            .map_err(|error| Fault::internal(format!("a decision cannot be written as JSON: {error}")))?;
        let next = self.last + 1;
        let put = self.store.put_new(&key(next), bytes.clone());
        if put != Ok(Created::Yes) {
            // A put that was answered with an error, or that the client repeated, may have arrived.
            match self.store.get(&key(next))? {
                Some(found) if found == bytes => {}
                Some(_) => return Ok(false),
                None => return put.map(|_| false),
            }
        }
        self.last = next;
        // Old records are deleted, so an old number may be free again: then there is a newer one.
        Ok(self.store.list(FOLDER)?.iter().filter_map(|key| number(key)).all(|number| number <= next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::location::Location;

    fn manifest(n: u32) -> ManifestRef {
        ManifestRef { path: format!("checkpoints/{n}/manifest.json"), sha256: String::new() }
    }

    fn resume(record: Option<&Record>) -> Result<Option<ManifestRef>, Fault> {
        Ok(record.and_then(|record| record.decision.state()).cloned())
    }

    #[test]
    fn a_successor_takes_the_job_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        let (mut first, start) = Decisions::claim(&store, resume).unwrap();
        assert_eq!((start, first.incarnation()), (None, 1));
        assert!(first.complete(manifest(1)).unwrap());

        let (mut second, start) = Decisions::claim(&store, resume).unwrap();
        assert_eq!((start, second.incarnation(), second.job_id()), (Some(manifest(1)), 2, first.job_id()));
        assert!(!first.complete(manifest(2)).unwrap(), "it has been succeeded");
        assert!(!first.complete(manifest(2)).unwrap(), "and stays so");
        assert!(second.complete(manifest(3)).unwrap());

        let (_, start) = Decisions::claim(&store, resume).unwrap();
        assert_eq!(start, Some(manifest(3)));
        assert!(!second.complete(manifest(4)).unwrap());
        let (_, start) = Decisions::claim(&store, |_| Ok(None)).unwrap();
        assert_eq!(start, None);
        assert_eq!(last(&store).unwrap().unwrap().1.decision, Decision::Claim { start: None });
    }

    #[test]
    fn one_that_slept_while_records_were_deleted_is_succeeded_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        let (mut sleeper, _) = Decisions::claim(&store, resume).unwrap();
        let (mut successor, _) = Decisions::claim(&store, resume).unwrap();
        for n in 0..KEPT as u32 + 5 {
            assert!(successor.complete(manifest(n)).unwrap());
        }
        assert_eq!(store.list(FOLDER).unwrap().len() as u64, KEPT);
        assert!(!sleeper.complete(manifest(0)).unwrap());
        assert_eq!(
            last(&store).unwrap().unwrap().1.decision,
            Decision::Complete { manifest: manifest(KEPT as u32 + 4) }
        );
    }
}
