//! Savepoints that have been asked for: where each goes, and who waits for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::fault::Fault;
use crate::model::time::Micros;
use crate::storage::manifest::MANIFEST;
use crate::store::Store;

use super::coordinator::{Savepoint, Then};
use super::record::Place;
use super::restore::locate;

/// Savepoints that wait for their turn; more are refused.
const WAITING_MAX: usize = 16;

/// What somebody asks for.
pub struct SavepointOrder {
    /// An absolute folder or a URL, which holds no checkpoint yet; `None` = within the job's place.
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
    place: Option<Place>,
    answer: oneshot::Sender<Result<SavepointMade, Fault>>,
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
        let place = match &order.to {
            _ if self.waiting.len() >= WAITING_MAX => Err(Fault::unavailable(format!(
                "{WAITING_MAX} savepoints of this job are waited for already: try again when they are complete"
            ))),
            None => Ok(None),
            Some(path) => place(path).map(Some),
        };
        match place {
            Ok(place) => {
                self.requests += 1;
                let _ = order.accept.send(());
                self.waiting.insert(self.requests, Waiting { place, answer: order.answer });
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
        let chosen = self.waiting.get(&savepoint.request).and_then(|waiting| waiting.place.clone());
        let is_elsewhere = chosen.is_some();
        let folder = || self.incarnation.savepoint_folder(checkpoint.0);
        let place = chosen.unwrap_or_else(|| Place { store: self.job_store.clone(), folder: folder() });
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
}

/// A place that somebody has chosen.
fn place(path: &str) -> Result<Place, Fault> {
    let (location, manifest) = locate(&format!("{path}/{MANIFEST}"));
    let store = Store::open(&location)?;
    let folder = manifest.strip_suffix(MANIFEST).unwrap_or_default().trim_end_matches('/').to_owned();
    if folder.is_empty() {
        return Err(Fault::invalid(format!("`{path}` is no folder for a savepoint: name one that is its own")));
    }
    if let Some(found) = store.list(&folder)?.first() {
        let found = store.name_of(found);
        return Err(Fault::invalid(format!(
            "a savepoint gets a folder of its own, and `{path}` is not empty: there is `{found}`"
        )));
    }
    Ok(Place { store, folder })
}
