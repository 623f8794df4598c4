//! The thread that makes the checkpoints of a running job: it performs what the coordinator says.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::connectors::{self, Committer, Offsets};
use crate::dataplane::sink_writer::Committable;
use crate::dataplane::snapshot::TaskSnapshot;
use crate::dataplane::split::SplitState;
use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::decision::ManifestRef;
use crate::model::fail_point;
use crate::model::fault::{Fault, FaultKind};
use crate::model::id::{Slot, Uid};
use crate::model::time::{Micros, Timestamp};
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::plan::graph::{NodeKind, Plan};
use crate::storage::manifest::{Kind, MANIFEST, UNDECIDED};
use crate::store::Store;
use crate::worker::channel::Waker;
use crate::worker::slot::{Order, TaskId, TaskTime};

use super::coordinator::{Action, Complete, Coordinator, Event, Then};
use super::decisions::Decisions;
use super::intent::Intent;
use super::progress::{Begun, CheckpointProgress, CompletedCheckpoint};
use super::record::{self, MemberRecord, Place, StateFile, Written};
use super::retention::Kept;
use super::savepoint::{SavepointOrder, Savepoints};
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
    Savepoint(SavepointOrder),
    /// Make a last checkpoint, then end the job.
    Stop,
    /// The same, after the sources have ended and every window has fired.
    Drain,
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
    /// By node, then by slot.
    pub times: Vec<Vec<Arc<TaskTime>>>,
    pub committers: BTreeMap<Uid, Box<dyn Committer>>,
    /// The number of the first checkpoint.
    pub first: CheckpointId,
    pub kept: Vec<Kept>,
}

/// Where snapshots go to be written; each is answered by `Notice::Written`.
pub trait Writers {
    fn write(&mut self, task: TaskId, snapshot: TaskSnapshot, place: Place);
}

/// Performs the actions of one job's coordinator.
pub struct Driver<W> {
    means: Means,
    coordinator: Coordinator,
    incarnation: Incarnation,
    writers: W,
    savepoints: Savepoints,
    progress: watch::Sender<CheckpointProgress>,
    begun: Option<Begun>,
    /// Of the checkpoint that is being finished.
    committables: BTreeMap<Uid, Vec<Committable>>,
    /// Of sources whose offsets people look at.
    offsets: BTreeMap<Uid, Box<dyn Offsets>>,
    /// Where their splits are in the checkpoint that is being finished.
    reached: BTreeMap<Uid, Vec<SplitState>>,
    is_over: bool,
}

/// Makes checkpoints until the job is over, and says how they get on. `notices` is the other end of what `own` sends.
pub fn run(
    means: Means,
    notices: &Receiver<Notice>,
    own: &Sender<Notice>,
    progress: watch::Sender<CheckpointProgress>,
) -> Result<(), Fault> {
    thread::scope(|scope| {
        let mut writers = Threads(Vec::new());
        for number in 0..WRITERS {
            let (sender, snapshots) = channel();
            let own = own.clone();
            thread::Builder::new()
                .name(format!("snapshots-{number}"))
                .spawn_scoped(scope, move || Writer::default().run(&snapshots, &own))
                .map_err(|error| Fault::unavailable(format!("no thread for writing checkpoints: {error}")))?;
            writers.0.push(sender);
        }
        let offsets = open_offsets(&means.plan)?;
        let mut driver = Driver { progress, offsets, ..Driver::new(means, writers, now()) };
        let ended = driver.drive(notices).map_err(|fault| driver.means.decisions.explain(fault));
        driver.leave(notices, ended.as_ref().err());
        ended
    })
}

fn open_offsets(plan: &Plan) -> Result<BTreeMap<Uid, Box<dyn Offsets>>, Fault> {
    let mut offsets = BTreeMap::new();
    for node in &plan.nodes {
        if let NodeKind::Source(source) = &node.kind
            && let Some(opened) = connectors::open_offsets(&source.connector).map_err(|fault| fault.at(&node.uid))?
        {
            offsets.insert(node.uid.clone(), opened);
        }
    }
    Ok(offsets)
}

/// Threads that write, which live as long as the driver.
struct Threads(Vec<Sender<(TaskId, TaskSnapshot, Place)>>);

impl Writers for Threads {
    fn write(&mut self, task: TaskId, snapshot: TaskSnapshot, place: Place) {
        let _ = self.0[usize::from(task.slot.0) % self.0.len()].send((task, snapshot, place));
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
        Self {
            savepoints: Savepoints::new(means.store.clone(), incarnation),
            means,
            coordinator,
            incarnation,
            writers,
            progress: watch::Sender::default(),
            begun: None,
            committables: BTreeMap::new(),
            offsets: BTreeMap::new(),
            reached: BTreeMap::new(),
            is_over: false,
        }
    }

    fn drive(&mut self, notices: &Receiver<Notice>) -> Result<(), Fault> {
        while !self.is_over() {
            let wait = self.wake_at().0.saturating_sub(now().0).max(0).unsigned_abs();
            match notices.recv_timeout(Duration::from_micros(wait).min(SLEEP_MAX)) {
                Ok(Notice::Abort) | Err(RecvTimeoutError::Disconnected) => return self.means.decisions.check(),
                Ok(notice) => self.hear(notice, now())?,
                Err(RecvTimeoutError::Timeout) => self.tick(now())?,
            }
        }
        Ok(())
    }

    /// Lets go of what is not decided, and tells those who wait for a savepoint that there will be none.
    fn leave(&mut self, notices: &Receiver<Notice>, failure: Option<&Fault>) {
        self.means.decisions.leave();
        let why = match failure {
            None => Fault::unavailable("the job has ended before the savepoint was complete"),
            Some(fault) => Fault::unavailable(format!("the job has failed before the savepoint was complete: {fault}")),
        };
        self.savepoints.refuse_all(&why);
        for notice in notices.try_iter() {
            if let Notice::Savepoint(order) = notice {
                order.refuse(why.clone());
            }
        }
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
                let place = self.place(checkpoint);
                if let Some(begun) = &mut self.begun {
                    begun.passed_at = now;
                }
                self.writers.write(task, snapshot, place);
                Event::Passed(task, checkpoint)
            }
            Notice::Written(task, checkpoint, members) => Event::Written(task, checkpoint, members),
            Notice::Done(slot) => Event::Done(slot),
            Notice::Savepoint(order) => match self.accept(order)? {
                Some(event) => event,
                None => return Ok(()),
            },
            Notice::Stop => Event::Stop,
            Notice::Drain => {
                self.intend(Then::Drain, None)?;
                Event::Drain
            }
            Notice::Failed(fault) => return Err(fault),
            Notice::Abort => return Ok(()),
        };
        self.apply(event, now)
    }

    /// `None` = the order was refused.
    fn accept(&mut self, order: SavepointOrder) -> Result<Option<Event>, Fault> {
        let (then, to) = (order.then, order.to.clone());
        let Some(savepoint) = self.savepoints.accept(order) else { return Ok(None) };
        if then != Then::GoOn {
            let own = || self.means.store.name_of(record::SAVEPOINTS);
            self.intend(then, Some(to.unwrap_or_else(own)))?;
        }
        Ok(Some(Event::Savepoint(savepoint)))
    }

    /// Writes down that the job is to be stopped. Where that cannot be written, no checkpoint could be either.
    fn intend(&self, then: Then, savepoint: Option<String>) -> Result<(), Fault> {
        Intent::new(self.incarnation.number, then, savepoint).write(&self.means.store)
    }

    /// Where the files of a checkpoint go.
    fn place(&self, checkpoint: CheckpointId) -> Place {
        self.savepoints
            .place(checkpoint)
            .cloned()
            .unwrap_or_else(|| Place::own(self.means.store.clone(), self.incarnation.folder(checkpoint.0)))
    }

    fn apply(&mut self, event: Event, now: Timestamp) -> Result<(), Fault> {
        for action in self.coordinator.apply(now, event) {
            match action {
                Action::Assign(checkpoint, savepoint) => self.savepoints.assign(checkpoint, savepoint),
                Action::Inject(barrier) => {
                    let checkpoint = barrier.checkpoint;
                    self.begun = Some(Begun::new(checkpoint, now));
                    self.take_longest_pause();
                    for slot in self.means.slots.iter() {
                        slot.send(Order::Checkpoint(barrier));
                        fail_point::reach("barrier.first_slot");
                    }
                    fail_point::reach("barrier.last_slot");
                }
                Action::Drain => self.means.slots.iter().for_each(|slot| slot.send(Order::Drain)),
                Action::Decide(complete) => {
                    let decided = self.decide(&complete, now)?;
                    self.begun.take_if(|_| decided.is_err());
                    self.apply(Event::Decided(complete.checkpoint, decided), now)?;
                }
                Action::Publish(checkpoint) => {
                    self.publish()?;
                    self.note_decided(checkpoint)?;
                    self.acknowledge()?;
                    self.report_complete(checkpoint, now);
                    self.apply(Event::Published(checkpoint), now)?;
                }
                Action::Delete(files) => delete(&self.means.store, files),
                Action::Discard(checkpoint, files) => {
                    self.begun = None;
                    delete(&self.place(checkpoint).store, files);
                }
                Action::Refuse(savepoint, fault) => self.savepoints.refuse(savepoint, fault),
                Action::End => {
                    self.means.slots.iter().for_each(|slot| slot.send(Order::Stop));
                    self.is_over = true;
                }
                Action::Fail(fault) => return Err(fault),
            }
        }
        self.report();
        Ok(())
    }

    /// Of all slots, since it was taken last.
    fn take_longest_pause(&self) -> Duration {
        let times = self.means.times.iter().flatten();
        times.map(|time| time.take_longest_step()).max().unwrap_or_default()
    }

    /// Says how checkpoints are getting on, if that has changed.
    fn report(&self) {
        let failed = self.coordinator.failed_count();
        let current = self.begun.map(|begun| begun.checkpoint.0);
        self.progress.send_if_modified(|progress| {
            let has_changed = (progress.failed_checkpoints, progress.in_progress_checkpoint) != (failed, current);
            (progress.failed_checkpoints, progress.in_progress_checkpoint) = (failed, current);
            has_changed
        });
    }

    fn report_complete(&mut self, checkpoint: CheckpointId, now: Timestamp) {
        let Some(begun) = self.begun.take_if(|begun| begun.checkpoint == checkpoint) else { return };
        let since_begun = |at: Timestamp| Micros(at.0.saturating_sub(begun.at.0).max(0));
        let (duration, alignment) = (since_begun(now), since_begun(begun.passed_at));
        let longest_pause = self.take_longest_pause();
        let is_savepoint = self.savepoints.place(checkpoint).is_some();
        self.savepoints.complete(checkpoint, begun.full_bytes, duration);
        self.progress.send_modify(|progress| {
            progress.complete(CompletedCheckpoint {
                checkpoint: checkpoint.0,
                kind: if is_savepoint { Kind::Savepoint } else { Kind::Checkpoint },
                completed_at: now.0,
                checkpoint_duration_ms: duration.0.unsigned_abs() / 1_000,
                checkpoint_alignment_ms: alignment.0.unsigned_abs() / 1_000,
                longest_pause_us: longest_pause.as_micros() as u64,
                checkpoint_size_bytes: begun.written_bytes,
                full_size_bytes: begun.full_bytes,
            });
        });
    }

    /// The inner error fails the checkpoint, the outer one the job.
    fn decide(&mut self, complete: &Complete, now: Timestamp) -> Result<Result<StateFile, Fault>, Fault> {
        let Place { store, folder, .. } = self.place(complete.checkpoint);
        let manifest = record::manifest(&self.means.plan, self.incarnation, complete, &folder, now);
        fail_point::reach("manifest.before");
        // What sinks have written in a transaction stands or falls with this checkpoint.
        let patience = if self.is_transactional() { self.patience() } else { Duration::ZERO };
        let written = again("a manifest is not written yet", patience, || {
            if let Kind::Savepoint = manifest.kind {
                store.put(&format!("{folder}/{UNDECIDED}"), Vec::new())?;
            }
            manifest.write(&store, &folder)
        });
        let reference = match written {
            Ok(reference) => reference,
            Err(fault) => return Ok(Err(fault)),
        };
        fail_point::reach("manifest.after");
        let key = reference.path;
        let reference = ManifestRef { path: self.savepoints.reference(complete.checkpoint, &key), ..reference };
        // If it cannot be known what was decided, the job starts anew from whatever it was.
        self.means.decisions.complete(reference)?;
        tracing::debug!(checkpoint = complete.checkpoint.0, bytes = manifest.bytes(), "checkpoint complete");
        if let Some(begun) = &mut self.begun {
            let written = complete.members.iter().filter_map(|member| member.written.as_ref().ok());
            let files = written.flat_map(Written::files);
            (begun.written_bytes, begun.full_bytes) = (files.map(|file| file.bytes).sum(), manifest.bytes());
        }
        self.committables = complete.committables.clone();
        self.reached.clear();
        for member in complete.members.iter().filter(|member| self.offsets.contains_key(&member.uid)) {
            let splits = member.splits.iter().map(|split| split.split.clone());
            self.reached.entry(member.uid.clone()).or_default().extend(splits);
        }
        Ok(Ok(StateFile { key, bytes: 0 }))
    }

    /// Tries until it works or the time for a checkpoint is over: it has been decided that this happens.
    fn publish(&mut self) -> Result<(), Fault> {
        fail_point::reach("decided.before_follow");
        let patience = self.patience();
        for (uid, committables) in std::mem::take(&mut self.committables) {
            if let Some(committer) = self.means.committers.get_mut(&uid) {
                commit(committer.as_mut(), &committables, patience).map_err(|fault| fault.at(&uid))?;
                fail_point::reach("decided.mid_follow");
            }
        }
        for (uid, splits) in &self.reached {
            if let Some(offsets) = self.offsets.get_mut(uid) {
                offsets.report(splits);
            }
        }
        fail_point::reach("decided.before_ack");
        Ok(())
    }

    /// A savepoint is for everybody then, see `Origin::check_named`.
    fn note_decided(&self, checkpoint: CheckpointId) -> Result<(), Fault> {
        let Some(Place { store, folder, .. }) = self.savepoints.place(checkpoint) else { return Ok(()) };
        let undecided = format!("{folder}/{UNDECIDED}");
        again("it is not noted yet that a savepoint was decided on", self.patience(), || store.delete(&undecided))
    }

    /// What was decided has been done: notes that, and gets ready for the next checkpoint.
    fn acknowledge(&mut self) -> Result<(), Fault> {
        let patience = self.patience();
        let decisions = &mut self.means.decisions;
        again("a decision is not in the store's log yet", patience, || decisions.acknowledge())?;
        again("the next transaction cannot begin yet", patience, || decisions.prepare())
    }

    fn is_transactional(&self) -> bool {
        self.means.checkpoints.transactions.is_some()
    }

    /// How long to try what has to happen.
    fn patience(&self) -> Duration {
        self.means.checkpoints.timeout.into()
    }
}

/// What cannot be deleted now is garbage, which the next start of the job sweeps.
fn delete(store: &Store, mut files: Vec<StateFile>) {
    files.sort_by_key(|file| !file.key.ends_with(MANIFEST));
    for file in files {
        if let Err(fault) = store.delete(&file.key) {
            tracing::warn!("an old checkpoint is not deleted: {fault}");
        }
        fail_point::reach("gc.middle");
    }
}

/// Commits, again and again until `patience` is over.
pub fn commit(committer: &mut dyn Committer, committables: &[Committable], patience: Duration) -> Result<(), Fault> {
    again("what a checkpoint covers is not published yet", patience, || committer.commit(committables))
}

/// Does it until it works or `patience` is over, saying `what` is the matter.
fn again<T>(what: &str, patience: Duration, mut act: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let (mut pause, mut waited) = (RETRY_FIRST, Duration::ZERO);
    loop {
        match act() {
            Err(fault) if waited < patience && fault.kind != FaultKind::Superseded => {
                tracing::warn!("{what}: {fault}");
                thread::sleep(pause);
                waited += pause;
                pause = (pause * 2).min(RETRY_MAX);
            }
            result => return result,
        }
    }
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
