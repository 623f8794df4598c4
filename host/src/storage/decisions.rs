//! What decides which checkpoint counts: a log of records, each put where there was none. A start of the job claims it,
//! a complete checkpoint is decided on; whoever finds a record in its way has been succeeded by another host.

use uuid::Uuid;

use crate::model::decision::{Decision, ManifestRef, Record, Start};
use crate::model::fault::Fault;

use crate::store::{Created, Store};

const FOLDER: &str = "decisions";
/// Records that are kept behind the last one. A host that was asleep for this many checkpoints finds newer records when
/// it looks behind its own.
const RECORDS_KEPT: u64 = 1_000;

/// The log as its writer sees it.
pub struct DecisionLog {
    store: Store,
    /// The number of the last record.
    last: u64,
    writer: Start,
}

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
        Fault::unrestorable(format!(
            "`{}`, the last decision on this job's checkpoints, cannot be read: {error}",
            store.name_of(&key)
        ))
    };
    let gone = || Fault::unavailable(format!("`{}` has just been deleted: try again", store.name_of(&key)));
    let bytes = store.get(&key)?.ok_or_else(gone)?;
    let record = Record::parse(&bytes).map_err(|error| broken(&error))?;
    Ok(Some((last, record)))
}

impl DecisionLog {
    /// Makes this process the one that runs the job: it starts from what `start` makes of the last decision. A host that
    /// ran it until now cannot decide anything any more. `ids` makes the transactional ids that this start writes under.
    pub fn claim(
        store: &Store,
        ids: impl Fn(Uuid) -> Vec<String>,
        mut start: impl FnMut(Option<&Record>) -> Result<Option<ManifestRef>, Fault>,
    ) -> Result<(Self, Option<ManifestRef>), Fault> {
        loop {
            let before = last(store)?;
            let start = start(before.as_ref().map(|(_, record)| record))?;
            let (number, job_id, incarnation, last_in_log) = match &before {
                None => (0, Uuid::new_v4(), 0, 0),
                Some((number, record)) => (*number, record.job_id, record.incarnation, record.last_in_log()),
            };
            let (claimant, transactional_ids) = (Uuid::new_v4(), ids(job_id));
            let writer = Start { job_id, incarnation: incarnation + 1, claimant, transactional_ids, last_in_log };
            let mut log = Self { store: store.clone(), last: number, writer };
            // Another host may start the job at the same time: one of the two finds the other's claim.
            if log.append(Decision::Claim { start: start.clone() })? {
                return Ok((log, start));
            }
        }
    }

    pub fn job_id(&self) -> Uuid {
        self.writer.job_id
    }

    pub fn incarnation(&self) -> u64 {
        self.writer.incarnation
    }

    /// Whether another host has claimed the job since: what goes wrong then is its doing.
    pub fn is_superseded(&self) -> Result<bool, Fault> {
        Ok(self.store.list(FOLDER)?.iter().filter_map(|key| number(key)).any(|number| number > self.last))
    }

    /// Whether the checkpoint is complete now; if not, another host has taken the job over. After an error it may be
    /// either: ask again.
    pub fn complete(&mut self, manifest: ManifestRef) -> Result<bool, Fault> {
        let decided = self.append(Decision::Complete { manifest })?;
        if decided && let Some(old) = self.last.checked_sub(RECORDS_KEPT) {
            self.store.delete(&key(old))?;
        }
        Ok(decided)
    }

    /// A decision of this start of the job.
    pub fn record(&self, decision: Decision) -> Record {
        Record::new(&self.writer, decision)
    }

    fn append(&mut self, decision: Decision) -> Result<bool, Fault> {
        let bytes = self.record(decision).to_bytes()?;
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

    fn no_ids(_: Uuid) -> Vec<String> {
        Vec::new()
    }

    fn resume(record: Option<&Record>) -> Result<Option<ManifestRef>, Fault> {
        Ok(record.and_then(|record| record.decision.state()).cloned())
    }

    #[test]
    fn a_successor_takes_the_job_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        let (mut first, start) = DecisionLog::claim(&store, no_ids, resume).unwrap();
        assert_eq!((start, first.incarnation()), (None, 1));
        assert!(first.complete(manifest(1)).unwrap());

        let (mut second, start) = DecisionLog::claim(&store, no_ids, resume).unwrap();
        assert_eq!((start, second.incarnation(), second.job_id()), (Some(manifest(1)), 2, first.job_id()));
        assert!(!first.complete(manifest(2)).unwrap(), "it has been succeeded");
        assert!(!first.complete(manifest(2)).unwrap(), "and stays so");
        assert!(second.complete(manifest(3)).unwrap());

        let (_, start) = DecisionLog::claim(&store, no_ids, resume).unwrap();
        assert_eq!(start, Some(manifest(3)));
        assert!(!second.complete(manifest(4)).unwrap());
        let (_, start) = DecisionLog::claim(&store, no_ids, |_| Ok(None)).unwrap();
        assert_eq!(start, None);
        assert_eq!(last(&store).unwrap().unwrap().1.decision, Decision::Claim { start: None });
    }

    #[test]
    fn of_two_that_claim_at_the_same_time_each_has_a_start_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        DecisionLog::claim(&store, no_ids, resume).unwrap();
        let mut others = Vec::new();
        let (mut slow, _) = DecisionLog::claim(&store, no_ids, |record| {
            if others.is_empty() {
                // It has read the log; another claims the job before it does.
                others.push(DecisionLog::claim(&store, no_ids, resume)?.0);
            }
            resume(record)
        })
        .unwrap();
        assert_eq!((others[0].incarnation(), slow.incarnation()), (2, 3));
        assert!(others[0].is_superseded().unwrap() && !others[0].complete(manifest(1)).unwrap());
        assert!(slow.complete(manifest(2)).unwrap());
    }

    #[test]
    fn one_that_slept_while_records_were_deleted_is_succeeded_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        let (mut sleeper, _) = DecisionLog::claim(&store, no_ids, resume).unwrap();
        let (mut successor, _) = DecisionLog::claim(&store, no_ids, resume).unwrap();
        for n in 0..RECORDS_KEPT as u32 + 5 {
            assert!(successor.complete(manifest(n)).unwrap());
        }
        assert_eq!(store.list(FOLDER).unwrap().len() as u64, RECORDS_KEPT);
        assert!(!sleeper.complete(manifest(0)).unwrap());
        assert_eq!(
            last(&store).unwrap().unwrap().1.decision,
            Decision::Complete { manifest: manifest(RECORDS_KEPT as u32 + 4) }
        );
    }
}
