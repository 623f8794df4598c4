//! The thread that makes the checkpoints of a running job: it performs what the coordinator says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::connectors::Committer;
use crate::dataplane::sink_writer::Committable;
use crate::dataplane::snapshot::TaskSnapshot;
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::time::{Micros, Timestamp};
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::plan::graph::Plan;
use crate::storage::decisions::Decisions;
use crate::storage::manifest::{Kind, MANIFEST, ManifestRef};
use crate::storage::store::Store;
use crate::worker::channel::Waker;
use crate::worker::slot::{Order, TaskId};

use super::coordinator::{Action, Complete, Coordinator, Event, Then};
use super::intent::Intent;
use super::progress::{Begun, CheckpointProgress, CompletedCheckpoint};
use super::record::{self, Incarnation, MemberRecord, Place, StateFile};
use super::retention::Kept;
use super::savepoint::{SavepointOrder, Savepoints};
use super::writer::{self, WRITERS};

/// Between tries to publish, at first; each pause is twice the one before.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The thread looks at the clock this often, however far the next thing is.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What the driver hears.
pub enum Notice {
    Snapshot(TaskId, TaskSnapshot),
    Written(TaskId, CheckpointId, Vec<MemberRecord>),
    Done(Slot),
    Savepoint(SavepointOrder),
    /// Make a last checkpoint, then end the job.
    Stop,
    /// The same, after the sources have ended and every window has fired.
    Drain,
    /// The job has failed: nothing more is to be decided.
    Abort,
}

/// A slot as the driver reaches it.
pub struct Mailbox {
    pub orders: Sender<Order>,
    pub waker: Waker,
}

impl Mailbox {
    pub fn send(&self, order: Order) {
        // A slot that has ended needs no orders.
        let _ = self.orders.send(order);
        self.waker.wake();
    }
}

pub struct Driver {
    pub plan: Arc<Plan>,
    pub checkpoints: CheckpointPlan,
    pub store: Store,
    pub decisions: Decisions,
    pub slots: Arc<Vec<Mailbox>>,
    pub tasks: BTreeSet<TaskId>,
    pub committers: BTreeMap<Uid, Box<dyn Committer>>,
    /// The number of the first checkpoint.
    pub first: CheckpointId,
    pub kept: Vec<Kept>,
    pub progress: watch::Sender<CheckpointProgress>,
}

/// Performs the actions of one job's coordinator.
struct Running {
    driver: Driver,
    coordinator: Coordinator,
    incarnation: Incarnation,
    writers: Vec<Sender<(TaskId, TaskSnapshot, Place)>>,
    savepoints: Savepoints,
    begun: Option<Begun>,
    /// Of the checkpoint that is being finished.
    committables: BTreeMap<Uid, Vec<Committable>>,
    /// The job is over.
    end: Option<Result<(), Fault>>,
}

impl Driver {
    /// Makes checkpoints until the job is over. `notices` is the other end of what `own` sends.
    pub fn run(mut self, notices: &Receiver<Notice>, own: &Sender<Notice>) -> Result<(), Fault> {
        let incarnation = Incarnation { job_id: self.decisions.job_id(), number: self.decisions.incarnation() };
        let tasks = self.tasks.clone();
        let mut coordinator = Coordinator::new(self.checkpoints.clone(), tasks, self.first, now());
        for kept in std::mem::take(&mut self.kept) {
            coordinator.inherit(kept.checkpoint, kept.files);
        }
        thread::scope(|scope| {
            let mut writers = Vec::new();
            for number in 0..WRITERS {
                let (sender, snapshots) = channel();
                let own = own.clone();
                thread::Builder::new()
                    .name(format!("snapshots-{number}"))
                    .spawn_scoped(scope, move || writer::run(&snapshots, &own))
                    .map_err(|error| Fault::unavailable(format!("no thread for writing checkpoints: {error}")))?;
                writers.push(sender);
            }
            let savepoints = Savepoints::new(self.store.clone());
            let mut running = Running {
                driver: self,
                coordinator,
                incarnation,
                writers,
                savepoints,
                begun: None,
                committables: BTreeMap::new(),
                end: None,
            };
            let ended = running.run(notices);
            running.leave(notices, ended.as_ref().err());
            ended
        })
    }
}

impl Running {
    fn run(&mut self, notices: &Receiver<Notice>) -> Result<(), Fault> {
        while self.end.is_none() {
            let wait = self.coordinator.wake_at().0.saturating_sub(now().0).max(0).unsigned_abs();
            let event = match notices.recv_timeout(Duration::from_micros(wait).min(SLEEP_MAX)) {
                Ok(Notice::Snapshot(task, snapshot)) => {
                    let checkpoint = snapshot.barrier.checkpoint;
                    let place = self.place(checkpoint);
                    // A writer lives as long as this.
                    let _ = self.writers[usize::from(task.slot.0) % WRITERS].send((task, snapshot, place));
                    Event::Passed(task, checkpoint)
                }
                Ok(Notice::Written(task, checkpoint, members)) => Event::Written(task, checkpoint, members),
                Ok(Notice::Done(slot)) => Event::Done(slot),
                Ok(Notice::Savepoint(order)) => match self.accept(order)? {
                    Some(event) => event,
                    None => continue,
                },
                Ok(Notice::Stop) => Event::Stop,
                Ok(Notice::Drain) => {
                    self.intend(Then::Drain, None)?;
                    Event::Drain
                }
                Ok(Notice::Abort) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => Event::Time,
            };
            self.apply(event)?;
        }
        self.end.take().unwrap_or(Ok(()))
    }

    /// Tells those who wait for a savepoint that there will be none.
    fn leave(&mut self, notices: &Receiver<Notice>, failure: Option<&Fault>) {
        let why = match failure {
            None => Fault::unavailable("the job has ended before the savepoint was complete"),
            Some(fault) => Fault::unavailable(format!("the job has failed before the savepoint was complete: {fault}")),
        };
        self.savepoints.refuse_all(&why);
        for notice in notices.try_iter() {
            if let Notice::Savepoint(order) = notice {
                let _ = order.answer.send(Err(why.clone()));
            }
        }
    }

    /// `None` = the order was refused.
    fn accept(&mut self, order: SavepointOrder) -> Result<Option<Event>, Fault> {
        let (then, to) = (order.then, order.to.clone());
        let Some(savepoint) = self.savepoints.accept(order) else { return Ok(None) };
        if then != Then::GoOn {
            let own = || self.driver.store.name_of(record::SAVEPOINTS);
            self.intend(then, Some(to.unwrap_or_else(own)))?;
        }
        Ok(Some(Event::Savepoint(savepoint)))
    }

    /// Writes down that the job is to be stopped. Where that cannot be written, no checkpoint could be either.
    fn intend(&self, then: Then, savepoint: Option<String>) -> Result<(), Fault> {
        Intent::new(self.incarnation.number, then, savepoint).write(&self.driver.store)
    }

    /// Where the files of a checkpoint go.
    fn place(&self, checkpoint: CheckpointId) -> Place {
        self.savepoints.place(checkpoint).cloned().unwrap_or_else(|| Place {
            store: self.driver.store.clone(),
            folder: self.incarnation.folder(checkpoint.0),
        })
    }

    fn apply(&mut self, event: Event) -> Result<(), Fault> {
        for action in self.coordinator.apply(now(), event) {
            match action {
                Action::Assign(checkpoint, savepoint) => self.savepoints.assign(checkpoint, savepoint),
                Action::Inject(barrier) => {
                    let checkpoint = barrier.checkpoint;
                    self.begun = Some(Begun { checkpoint, at: now(), written_bytes: 0, full_bytes: 0 });
                    self.driver.slots.iter().for_each(|slot| slot.send(Order::Checkpoint(barrier)));
                }
                Action::Drain => self.driver.slots.iter().for_each(|slot| slot.send(Order::Drain)),
                Action::Decide(complete) => {
                    let decided = self.decide(&complete)?;
                    self.begun.take_if(|_| decided.is_err());
                    self.apply(Event::Decided(complete.checkpoint, decided))?;
                }
                Action::Publish(checkpoint) => {
                    self.publish()?;
                    self.report_complete(checkpoint);
                    self.apply(Event::Published(checkpoint))?;
                }
                Action::Delete(files) => delete(&self.driver.store, files),
                Action::Discard(checkpoint, files) => {
                    self.begun = None;
                    delete(&self.place(checkpoint).store, files);
                }
                Action::Refuse(savepoint, fault) => self.savepoints.refuse(savepoint, fault),
                Action::End => {
                    self.driver.slots.iter().for_each(|slot| slot.send(Order::Stop));
                    self.end = Some(Ok(()));
                }
                Action::Fail(fault) => self.end = Some(Err(fault)),
            }
        }
        self.report();
        Ok(())
    }

    /// Says how checkpoints are getting on, if that has changed.
    fn report(&self) {
        let failed = self.coordinator.failed_count();
        let current = self.begun.map(|begun| begun.checkpoint.0);
        self.driver.progress.send_if_modified(|progress| {
            let has_changed = (progress.failed_checkpoints, progress.in_progress_checkpoint) != (failed, current);
            (progress.failed_checkpoints, progress.in_progress_checkpoint) = (failed, current);
            has_changed
        });
    }

    fn report_complete(&mut self, checkpoint: CheckpointId) {
        let Some(begun) = self.begun.take_if(|begun| begun.checkpoint == checkpoint) else { return };
        let at = now();
        let duration = Micros(at.0.saturating_sub(begun.at.0).max(0));
        let is_savepoint = self.savepoints.place(checkpoint).is_some();
        self.savepoints.complete(checkpoint, begun.full_bytes, duration);
        self.driver.progress.send_modify(|progress| {
            progress.completed_checkpoints += 1;
            progress.last_completed_checkpoint = Some(CompletedCheckpoint {
                checkpoint: checkpoint.0,
                kind: if is_savepoint { Kind::Savepoint } else { Kind::Checkpoint },
                completed_at: at.0,
                checkpoint_duration_ms: duration.0.unsigned_abs() / 1_000,
                checkpoint_size_bytes: begun.written_bytes,
                full_size_bytes: begun.full_bytes,
            });
        });
    }

    /// The inner error fails the checkpoint, the outer one the job.
    fn decide(&mut self, complete: &Complete) -> Result<Result<StateFile, Fault>, Fault> {
        let Place { store, folder } = self.place(complete.checkpoint);
        let manifest = record::manifest(&self.driver.plan, self.incarnation, complete, &folder, now());
        let reference = match manifest.write(&store, &folder) {
            Ok(reference) => reference,
            Err(fault) => return Ok(Err(fault)),
        };
        let key = reference.path;
        let reference = ManifestRef { path: self.savepoints.reference(&key), ..reference };
        // If it cannot be known what was decided, the job starts anew from whatever it was.
        if !self.driver.decisions.complete(reference)? {
            return Err(Fault::superseded(format!(
                "another host has taken over the job `{}`: this one stops, and has changed nothing since",
                self.driver.plan.name
            )));
        }
        tracing::debug!(checkpoint = complete.checkpoint.0, bytes = manifest.bytes(), "checkpoint complete");
        if let Some(begun) = &mut self.begun {
            let files = complete.members.iter().filter_map(|member| member.file.as_ref().ok()?.as_ref());
            (begun.written_bytes, begun.full_bytes) = (files.map(|file| file.bytes).sum(), manifest.bytes());
        }
        self.committables = complete.committables.clone();
        Ok(Ok(StateFile { key, bytes: 0 }))
    }

    /// Tries until it works or the time for a checkpoint is over: it has been decided that this happens.
    fn publish(&mut self) -> Result<(), Fault> {
        for (uid, committables) in std::mem::take(&mut self.committables) {
            if let Some(committer) = self.driver.committers.get_mut(&uid) {
                commit(committer.as_mut(), &committables, self.driver.checkpoints.timeout.into())
                    .map_err(|fault| fault.at(&uid))?;
            }
        }
        Ok(())
    }
}

/// What cannot be deleted now is garbage, which the next start of the job sweeps.
fn delete(store: &Store, mut files: Vec<StateFile>) {
    files.sort_by_key(|file| !file.key.ends_with(MANIFEST));
    for file in files {
        if let Err(fault) = store.delete(&file.key) {
            tracing::warn!("an old checkpoint is not deleted: {fault}");
        }
    }
}

/// Commits, again and again until `patience` is over.
pub fn commit(committer: &mut dyn Committer, committables: &[Committable], patience: Duration) -> Result<(), Fault> {
    let (mut pause, mut waited) = (RETRY_FIRST, Duration::ZERO);
    loop {
        match committer.commit(committables) {
            Err(fault) if waited < patience => {
                tracing::warn!("what a checkpoint covers is not published yet: {fault}");
                thread::sleep(pause);
                waited += pause;
                pause = (pause * 2).min(RETRY_MAX);
            }
            result => return result,
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
