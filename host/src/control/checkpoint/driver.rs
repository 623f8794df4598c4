//! The thread that makes the checkpoints of a running job: it performs what the coordinator says.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::connectors::Committer;
use crate::dataplane::sink_writer::Committable;
use crate::dataplane::snapshot::TaskSnapshot;
use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::time::Timestamp;
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::plan::graph::Plan;
use crate::storage::decisions::Decisions;
use crate::storage::manifest::MANIFEST;
use crate::store::Store;
use crate::worker::channel::Waker;
use crate::worker::slot::{Order, TaskId};

use super::coordinator::{Action, Complete, Coordinator, Event};
use super::record::{self, MemberRecord, StateFile};
use super::retention::Kept;
use super::writer::{WRITERS, Writer};

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
    /// Make a last checkpoint, then end the job.
    Stop,
    /// A writer has panicked.
    Failed(Fault),
    /// The job has failed: nothing more is to be decided.
    Abort,
}

/// The fault of a thread that panicked.
pub fn panicked(what: &str, panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Fault::internal(format!("{what} panicked, which is a bug in wasmill: {text}"))
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

/// What a job's checkpoints are made with.
pub struct Means {
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
}

/// Where snapshots go to be written; each is answered by `Notice::Written`.
pub trait Writers {
    fn write(&mut self, task: TaskId, snapshot: TaskSnapshot);
}

/// Performs the actions of one job's coordinator.
pub struct Driver<W> {
    means: Means,
    coordinator: Coordinator,
    incarnation: Incarnation,
    writers: W,
    /// Of the checkpoint that is being finished.
    committables: BTreeMap<Uid, Vec<Committable>>,
    is_over: bool,
}

/// Makes checkpoints until the job is over. `notices` is the other end of what `own` sends.
pub fn run(means: Means, notices: &Receiver<Notice>, own: &Sender<Notice>) -> Result<(), Fault> {
    let incarnation = Incarnation::of(&means.decisions);
    thread::scope(|scope| {
        let mut writers = Threads(Vec::new());
        for number in 0..WRITERS {
            let (sender, snapshots) = channel();
            let (writer, own) = (Writer::new(means.store.clone(), incarnation), own.clone());
            thread::Builder::new()
                .name(format!("snapshots-{number}"))
                .spawn_scoped(scope, move || writer.run(&snapshots, &own))
                .map_err(|error| Fault::unavailable(format!("no thread for writing checkpoints: {error}")))?;
            writers.0.push(sender);
        }
        let mut driver = Driver::new(means, writers, now());
        while !driver.is_over() {
            let wait = driver.wake_at().0.saturating_sub(now().0).max(0).unsigned_abs();
            match notices.recv_timeout(Duration::from_micros(wait).min(SLEEP_MAX)) {
                Ok(Notice::Abort) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(notice) => driver.hear(notice, now())?,
                Err(RecvTimeoutError::Timeout) => driver.tick(now())?,
            }
        }
        Ok(())
    })
}

/// Threads that write, which live as long as the driver.
struct Threads(Vec<Sender<(TaskId, TaskSnapshot)>>);

impl Writers for Threads {
    fn write(&mut self, task: TaskId, snapshot: TaskSnapshot) {
        let _ = self.0[usize::from(task.slot.0) % self.0.len()].send((task, snapshot));
    }
}

impl<W: Writers> Driver<W> {
    pub fn new(mut means: Means, writers: W, now: Timestamp) -> Self {
        let tasks = means.tasks.clone();
        let mut coordinator = Coordinator::new(means.checkpoints.clone(), tasks, means.first, now);
        for kept in std::mem::take(&mut means.kept) {
            coordinator.inherit(kept.checkpoint, kept.files);
        }
        let incarnation = Incarnation::of(&means.decisions);
        Self { means, coordinator, incarnation, writers, committables: BTreeMap::new(), is_over: false }
    }

    /// The last checkpoint is complete, and the slots have been told to stop.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// When `tick` is wanted.
    pub fn wake_at(&self) -> Timestamp {
        self.coordinator.wake_at()
    }

    pub fn tick(&mut self, now: Timestamp) -> Result<(), Fault> {
        self.apply(Event::Time, now)
    }

    pub fn hear(&mut self, notice: Notice, now: Timestamp) -> Result<(), Fault> {
        let event = match notice {
            Notice::Snapshot(task, snapshot) => {
                let checkpoint = snapshot.barrier.checkpoint;
                self.writers.write(task, snapshot);
                Event::Passed(task, checkpoint)
            }
            Notice::Written(task, checkpoint, members) => Event::Written(task, checkpoint, members),
            Notice::Done(slot) => Event::Done(slot),
            Notice::Stop => Event::Stop,
            Notice::Failed(fault) => return Err(fault),
            Notice::Abort => return Ok(()),
        };
        self.apply(event, now)
    }

    fn apply(&mut self, event: Event, now: Timestamp) -> Result<(), Fault> {
        for action in self.coordinator.apply(now, event) {
            match action {
                Action::Inject(barrier) => {
                    for slot in self.means.slots.iter() {
                        slot.send(Order::Checkpoint(barrier));
                        fail_point::reach("barrier.first_slot");
                    }
                    fail_point::reach("barrier.last_slot");
                }
                Action::Decide(complete) => {
                    let decided = self.decide(&complete, now)?;
                    self.apply(Event::Decided(complete.checkpoint, decided), now)?;
                }
                Action::Publish(checkpoint) => {
                    self.publish()?;
                    self.apply(Event::Published(checkpoint), now)?;
                }
                Action::Delete(files) => self.delete(files),
                Action::End => {
                    self.means.slots.iter().for_each(|slot| slot.send(Order::Stop));
                    self.is_over = true;
                }
                Action::Fail(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// The inner error fails the checkpoint, the outer one the job.
    fn decide(&mut self, complete: &Complete, now: Timestamp) -> Result<Result<StateFile, Fault>, Fault> {
        let manifest = record::manifest(&self.means.plan, self.incarnation, complete, now);
        let folder = self.incarnation.folder(complete.checkpoint.0);
        fail_point::reach("manifest.before");
        let reference = match manifest.write(&self.means.store, &folder) {
            Ok(reference) => reference,
            Err(fault) => return Ok(Err(fault)),
        };
        fail_point::reach("manifest.after");
        let key = reference.path.clone();
        // If it cannot be known what was decided, the job starts anew from whatever it was.
        if !self.means.decisions.complete(reference)? {
            return Err(Fault::superseded(format!(
                "another host has taken over the job `{}`: this one stops, and has changed nothing since",
                self.means.plan.name
            )));
        }
        tracing::debug!(checkpoint = complete.checkpoint.0, bytes = manifest.bytes(), "checkpoint complete");
        self.committables = complete.committables.clone();
        Ok(Ok(StateFile { key, bytes: 0 }))
    }

    /// Tries until it works or the time for a checkpoint is over: it has been decided that this happens.
    fn publish(&mut self) -> Result<(), Fault> {
        fail_point::reach("decided.before_follow");
        for (uid, committables) in std::mem::take(&mut self.committables) {
            if let Some(committer) = self.means.committers.get_mut(&uid) {
                commit(committer.as_mut(), &committables, self.means.checkpoints.timeout.into())
                    .map_err(|fault| fault.at(&uid))?;
                fail_point::reach("decided.mid_follow");
            }
        }
        fail_point::reach("decided.before_ack");
        Ok(())
    }

    /// What cannot be deleted now is garbage, which the next start of the job sweeps.
    fn delete(&mut self, mut files: Vec<StateFile>) {
        files.sort_by_key(|file| !file.key.ends_with(MANIFEST));
        for file in files {
            if let Err(fault) = self.means.store.delete(&file.key) {
                tracing::warn!("an old checkpoint is not deleted: {fault}");
            }
            fail_point::reach("gc.middle");
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
