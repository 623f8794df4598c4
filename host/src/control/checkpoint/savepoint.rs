//! Savepoints that have been asked for: where each goes, and who waits for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::fault::Fault;
use crate::model::time::Micros;
use crate::storage::manifest::{MANIFEST, UNDECIDED};
use crate::store::Store;

use super::coordinator::{Savepoint, Then};
use super::record::Place;
use super::restore::locate;

/// Savepoints that wait for their turn; more are refused.
const WAITING_MAX: usize = 16;

/// What somebody asks for.
pub struct SavepointOrder {
    /// An absolute folder or a URL, which holds nothing but what hosts of this job have left of a savepoint there; `None` =
    /// within the job's place.
    pub to: Option<String>,
    pub then: Then,
    accept: oneshot::Sender<()>,
    answer: oneshot::Sender<Result<SavepointMade, Fault>>,
}

/// The other end of an order. Both may be dropped: the savepoint is made all the same.
pub struct Ordered {
    /// Told when the savepoint waits for its turn; an error, it was refused.
    pub accepted: oneshot::Receiver<()>,
    /// An error of the channel's: the job was over before.
    pub made: oneshot::Receiver<Result<SavepointMade, Fault>>,
}

impl SavepointOrder {
    pub fn new(to: Option<String>, then: Then) -> (Self, Ordered) {
        let (accept, accepted) = oneshot::channel();
        let (answer, made) = oneshot::channel();
        (Self { to, then, accept, answer }, Ordered { accepted, made })
    }

    /// Tells whoever ordered it that there will be no savepoint, if that still matters to them.
    pub fn refuse(self, why: Fault) {
        let _ = self.answer.send(Err(why));
    }
}

/// A complete savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavepointMade {
    pub checkpoint: u64,
    /// Its folder or URL: what `--from` takes.
    pub path: String,
    /// Of its files of state.
    pub bytes: u64,
    /// From its barrier until all of it was written, in microseconds.
    pub duration: i64,
}

/// Those of one start of a job.
pub struct Savepoints {
    job_store: Store,
    incarnation: Incarnation,
    requests: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The one that is under way.
    current: Option<Current>,
}

struct Waiting {
    chosen: Option<Chosen>,
    answer: oneshot::Sender<Result<SavepointMade, Fault>>,
}

/// A folder that somebody has chosen.
#[derive(Clone)]
struct Chosen {
    store: Store,
    folder: String,
}

struct Current {
    checkpoint: CheckpointId,
    request: u64,
    place: Place,
    is_elsewhere: bool,
}

impl Savepoints {
    pub fn new(job_store: Store, incarnation: Incarnation) -> Self {
        Self { job_store, incarnation, requests: 0, waiting: BTreeMap::new(), current: None }
    }

    /// Checks an order. `None` = it was refused, and whoever asked knows why.
    pub fn accept(&mut self, order: SavepointOrder) -> Option<Savepoint> {
        let chosen = match &order.to {
            _ if self.waiting.len() >= WAITING_MAX => Err(Fault::unavailable(format!(
                "{WAITING_MAX} savepoints of this job are waited for already: try again when they are complete"
            ))),
            None => Ok(None),
            Some(path) => self.choose(path).map(Some),
        };
        match chosen {
            Ok(chosen) => {
                self.requests += 1;
                let _ = order.accept.send(());
                self.waiting.insert(self.requests, Waiting { chosen, answer: order.answer });
                Some(Savepoint { request: self.requests, then: order.then })
            }
            Err(fault) => {
                order.refuse(fault);
                None
            }
        }
    }

    /// The next checkpoint is this savepoint.
    pub fn assign(&mut self, checkpoint: CheckpointId, savepoint: Savepoint) {
        let chosen = self.waiting.get(&savepoint.request).and_then(|waiting| waiting.chosen.clone());
        let is_elsewhere = chosen.is_some();
        let place = match chosen {
            None => Place::own(self.job_store.clone(), self.incarnation.savepoint_folder(checkpoint.0)),
            Some(Chosen { store, folder }) => {
                let state_folder = self.incarnation.state_folder(&folder, checkpoint.0);
                Place { store, folder, state_folder }
            }
        };
        self.current = Some(Current { checkpoint, request: savepoint.request, place, is_elsewhere });
    }

    /// Where the files of a checkpoint go, if it is a savepoint.
    pub fn place(&self, checkpoint: CheckpointId) -> Option<&Place> {
        self.current.as_ref().filter(|current| current.checkpoint == checkpoint).map(|current| &current.place)
    }

    /// The manifest of a checkpoint as decisions name it.
    pub fn reference(&self, checkpoint: CheckpointId, key: &str) -> String {
        match &self.current {
            Some(current) if current.checkpoint == checkpoint && current.is_elsewhere => {
                current.place.store.name_of(key)
            }
            _ => key.to_owned(),
        }
    }

    pub fn complete(&mut self, checkpoint: CheckpointId, bytes: u64, duration: Micros) {
        let Some(current) = self.current.take_if(|current| current.checkpoint == checkpoint) else { return };
        if current.is_elsewhere {
            self.sweep(&current.place);
        }
        let path = current.place.store.name_of(&current.place.folder);
        tracing::info!("savepoint {checkpoint} is complete: {path}");
        self.answer(current.request, Ok(SavepointMade { checkpoint: checkpoint.0, path, bytes, duration: duration.0 }));
    }

    pub fn refuse(&mut self, savepoint: Savepoint, fault: Fault) {
        self.answer(savepoint.request, Err(fault));
    }

    /// The job is over or starts again: nobody gets a savepoint any more.
    pub fn refuse_all(&mut self, fault: &Fault) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let _ = waiting.answer.send(Err(fault.clone()));
        }
    }

    fn answer(&mut self, request: u64, answer: Result<SavepointMade, Fault>) {
        if let Some(waiting) = self.waiting.remove(&request) {
            // A client that has gone does not stop its savepoint.
            let _ = waiting.answer.send(answer);
        }
    }

    /// A folder for a savepoint: an empty one, or one where dead hosts of this job have not finished theirs.
    fn choose(&self, path: &str) -> Result<Chosen, Fault> {
        let (location, manifest) = locate(&format!("{path}/{MANIFEST}"));
        let store = Store::open(&location)?;
        let folder = manifest.strip_suffix(MANIFEST).unwrap_or_default().trim_end_matches('/').to_owned();
        if folder.is_empty() {
            return Err(Fault::invalid(format!("`{path}` is no folder for a savepoint: name one that is its own")));
        }
        let (ours, undecided) = (self.incarnation.state_folders(&folder), format!("{folder}/{UNDECIDED}"));
        let is_left = |key: &String| key.starts_with(&ours) || *key == undecided;
        if let Some(found) = store.list(&folder)?.iter().find(|key| !is_left(key)) {
            let found = store.name_of(found);
            return Err(Fault::invalid(format!(
                "a savepoint gets a folder of its own, and `{path}` is not empty: there is `{found}`"
            )));
        }
        Ok(Chosen { store, folder })
    }

    /// Deletes what dead hosts have left beside a savepoint. They can no longer finish theirs: the manifest is there.
    fn sweep(&self, place: &Place) {
        let Place { store, folder, state_folder } = place;
        let ours = self.incarnation.state_folders(folder);
        let is_left = |key: &String| key.starts_with(&ours) && !key.starts_with(&format!("{state_folder}/"));
        let left = store.list(folder).map(|keys| keys.into_iter().filter(is_left).collect::<Vec<_>>());
        if let Err(fault) = left.and_then(|left| left.iter().try_for_each(|key| store.delete(key))) {
            tracing::warn!("what dead hosts have left in `{}` is not deleted: {fault}", store.name_of(folder));
        }
    }
}
