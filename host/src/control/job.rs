//! A running job: its slot threads and the thread that makes its checkpoints, from one start to its end or a fault.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::dataplane::metrics::NodeMetrics;
use crate::dataplane::snapshot::{Restored, TaskSnapshot};
use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::fault::{Fault, FaultKind};
use crate::model::id::Slot;
use crate::plan::graph::Plan;
use crate::storage::manifest::Kind;
use crate::worker::operators::{self, MakeProcess, Start};
use crate::worker::slot::{Order, Reports, SlotLoop, TaskId, TaskTime};
use crate::worker::wiring::{Wired, WiredSlot, wire};

use super::checkpoint::catalog;
use super::checkpoint::claim::StartFrom;
use super::checkpoint::claim::{self, Claimed};
use super::checkpoint::driver::{self, Mailbox, Means, Notice, panicked};
use super::checkpoint::intent::Intent;
use super::checkpoint::progress::CheckpointProgress;
use super::checkpoint::restore::Origin;
use super::checkpoint::savepoint::SavepointOrder;

pub struct Job {
    pub plan: Arc<Plan>,
    /// The checkpoint that it started from.
    pub started_from: Option<StartedFrom>,
    /// The last start of the job was to be stopped, and was not.
    pub unfinished_stop: Option<Intent>,
    /// By node, then by slot.
    pub metrics: Vec<Vec<Arc<NodeMetrics>>>,
    pub times: Vec<Vec<Arc<TaskTime>>>,
    slots: Arc<Vec<Mailbox>>,
    /// `None` = the job makes no checkpoints.
    checkpoints: Option<Sender<Notice>>,
    checkpoint_progress: watch::Receiver<CheckpointProgress>,
    /// One message for each thread that ended.
    ended: UnboundedReceiver<Result<(), Fault>>,
    running: usize,
    /// The first, or that the job was superseded.
    fault: Option<Fault>,
}

/// A checkpoint that a job has started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedFrom {
    pub checkpoint: CheckpointId,
    pub kind: Kind,
    /// Its folder or URL.
    pub path: String,
    /// All had been read and every window had fired: nothing was started.
    pub is_finished: bool,
}

impl fmt::Display for StartedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoint, kind, path, is_finished } = self;
        match is_finished {
            false => write!(f, "going on from {kind} {checkpoint} in {path}"),
            true => write!(
                f,
                "the job had finished with {kind} {checkpoint} in {path}: all was read or drained, and there is nothing to \
                 do; `--fresh` runs it from nothing"
            ),
        }
    }
}

/// How a job is started.
pub struct Options {
    pub from: StartFrom,
    /// State that has no place in the job may be dropped.
    pub may_drop_state: bool,
    pub make: MakeProcess,
    /// The last start of the job that was claimed with these; 0 = none.
    pub claimed: AtomicU64,
}

impl Default for Options {
    fn default() -> Self {
        Self { from: StartFrom::Latest, may_drop_state: false, make: operators::sandboxed, claimed: AtomicU64::new(0) }
    }
}

impl Job {
    /// Opens everything that the plan names, then starts the threads. Blocks while it reads the checkpoint's manifest. A
    /// job that had finished (`StartedFrom::is_finished`) ends at once: what it has decided on is published, no more.
    pub fn start(plan: Arc<Plan>, options: &Options) -> Result<Self, Fault> {
        let claimed = plan
            .checkpoints
            .clone()
            .map(|checkpoints| {
                claim::claim(&plan, checkpoints, &options.from, options.may_drop_state, &options.claimed)
            })
            .transpose()
            .map_err(|fault| match options.from {
                StartFrom::Latest => advise(&plan, fault),
                StartFrom::Path(_) | StartFrom::Nothing => fault,
            })?;
        let incarnation = claimed.as_ref().map(|claimed| Incarnation::of(&claimed.decisions));
        let started_from = claimed.as_ref().and_then(|claimed| claimed.origin.as_ref()).map(StartedFrom::from);
        let wired = match started_from.as_ref().is_some_and(|started_from| started_from.is_finished) {
            true => Wired::nothing(&plan),
            false => {
                let transactions = claimed.as_ref().and_then(|claimed| claimed.transactions.as_deref());
                wire(Start { plan: &plan, make: options.make, incarnation, transactions })?
            }
        };
        let mut orders = Vec::new();
        let mailbox = |slot: &WiredSlot| {
            let (sender, receiver) = channel();
            orders.push(receiver);
            Mailbox { orders: sender, waker: slot.waker.clone() }
        };
        let slots: Arc<Vec<Mailbox>> = Arc::new(wired.slots.iter().map(mailbox).collect());
        let tasks = wired
            .slots
            .iter()
            .zip(0..)
            .flat_map(|(slot, number)| (0..slot.tasks.len()).map(move |task| TaskId { slot: Slot(number), task }));
        let tasks: BTreeSet<TaskId> = tasks.collect();
        let (ends, ended) = unbounded_channel();
        let (progress, checkpoint_progress) = watch::channel(CheckpointProgress::default());
        let mut job = Self {
            started_from,
            unfinished_stop: claimed.as_ref().and_then(|claimed| claimed.unfinished_stop.clone()),
            metrics: wired.metrics,
            times: wired.times,
            slots,
            checkpoints: None,
            checkpoint_progress,
            ended,
            running: 0,
            fault: None,
            plan,
        };
        let origin = match claimed {
            Some(claimed) if !wired.slots.is_empty() => job.make_checkpoints(claimed, tasks, progress, &ends)?,
            _ => None,
        };
        for ((number, slot), orders) in (0..).zip(wired.slots).zip(orders) {
            job.run_slot(Slot(number), slot, orders, origin.as_ref(), ends.clone())?;
        }
        Ok(job)
    }

    /// Starts the thread that makes checkpoints; returns what the slots start from.
    fn make_checkpoints(
        &mut self,
        claimed: Claimed,
        tasks: BTreeSet<TaskId>,
        progress: watch::Sender<CheckpointProgress>,
        ends: &UnboundedSender<Result<(), Fault>>,
    ) -> Result<Option<Origin>, Fault> {
        let (sender, notices) = channel();
        let means = Means {
            plan: Arc::clone(&self.plan),
            checkpoints: claimed.plan,
            store: claimed.store,
            decisions: claimed.decisions,
            slots: Arc::clone(&self.slots),
            tasks,
            times: self.times.clone(),
            committers: claimed.committers,
            first: claimed.first,
            kept: claimed.kept,
        };
        let own = sender.clone();
        self.spawn("checkpoints".to_owned(), ends.clone(), move || driver::run(means, &notices, &own, progress))?;
        self.checkpoints = Some(sender);
        Ok(claimed.origin.or(claimed.beginning))
    }

    fn run_slot(
        &mut self,
        slot: Slot,
        wired: WiredSlot,
        orders: Receiver<Order>,
        origin: Option<&Origin>,
        ends: UnboundedSender<Result<(), Fault>>,
    ) -> Result<(), Fault> {
        let origin = origin.map(|origin| origin.for_slot(&self.plan, slot));
        let reports = ToDriver(self.checkpoints.clone());
        let WiredSlot { tasks, waker } = wired;
        self.spawn(format!("slot-{}", slot.0), ends, move || {
            let from = origin.as_ref().map(|origin| origin as &dyn Restored);
            SlotLoop { slot, tasks, orders, reports }.run(from, &waker)
        })
    }

    fn spawn(
        &mut self,
        name: String,
        ends: UnboundedSender<Result<(), Fault>>,
        run: impl FnOnce() -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        let what = name.clone();
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(run));
            // Nobody listens when the job was dropped: then nobody wants to know.
            let _ = ends.send(ended.unwrap_or_else(|panic| Err(panicked(&what, panic.as_ref()))));
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
        thread.map_err(|error| Fault::unavailable(format!("no thread for {name}: {error}")))?;
        self.running += 1;
        Ok(())
    }

    /// Waits for the job to end; the first fault ends it. May be called again when it was cancelled.
    pub async fn end(&mut self) -> Result<(), Fault> {
        while self.running > 0 {
            let Some(ended) = self.ended.recv().await else { break };
            self.running -= 1;
            let Err(fault) = ended else { continue };
            // Kept here: this wait may be cancelled, and begun again.
            match &self.fault {
                None => {
                    self.fault = Some(fault);
                    self.abort();
                }
                // That is why.
                Some(_) if fault.kind == FaultKind::Superseded => self.fault = Some(fault),
                Some(_) => {}
            }
        }
        self.fault.take().map_or(Ok(()), |fault| Err(advise(&self.plan, fault)))
    }

    /// Whether the next start goes on from where this one stops.
    pub fn has_checkpoints(&self) -> bool {
        self.checkpoints.is_some()
    }

    /// Ends the job in good order. With checkpoints, a last one is made, and the same job goes on from it; without, the
    /// sources stop and what is in flight is finished: the last watermark passes, windows fire.
    pub fn stop(&self) {
        match &self.checkpoints {
            // It has ended already.
            Some(notices) => drop(notices.send(Notice::Stop)),
            None => self.slots.iter().for_each(|slot| slot.send(Order::Drain)),
        }
    }

    /// The same, after the sources have ended as if all had been read: the last watermark passes, windows fire.
    pub fn drain(&self) {
        match &self.checkpoints {
            Some(notices) => drop(notices.send(Notice::Drain)),
            None => self.slots.iter().for_each(|slot| slot.send(Order::Drain)),
        }
    }

    /// Whoever ordered it is answered when the savepoint is complete, or has failed; dropped, the job is over.
    pub fn savepoint(&self, order: SavepointOrder) {
        match &self.checkpoints {
            Some(notices) => drop(notices.send(Notice::Savepoint(order))),
            None => order.refuse(no_checkpoints(&self.plan.name)),
        }
    }

    pub fn checkpoint_progress(&self) -> CheckpointProgress {
        self.checkpoint_progress.borrow().clone()
    }

    pub fn abort(&self) {
        if let Some(notices) = &self.checkpoints {
            let _ = notices.send(Notice::Abort);
        }
        self.slots.iter().for_each(|slot| slot.send(Order::Stop));
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.abort();
    }
}

impl From<&Origin> for StartedFrom {
    fn from(origin: &Origin) -> Self {
        Self {
            checkpoint: CheckpointId(origin.manifest.checkpoint),
            kind: origin.manifest.kind,
            path: origin.path(),
            is_finished: origin.manifest.is_finished,
        }
    }
}

/// The same fault; where the job cannot go on from its last checkpoint, with what else it could start from.
fn advise(plan: &Plan, fault: Fault) -> Fault {
    match &plan.checkpoints {
        Some(checkpoints) if fault.kind == FaultKind::Unrestorable => {
            let others = catalog::others(checkpoints, &plan.name, &fault);
            Fault { message: format!("{}\n{others}", fault.message), ..fault }
        }
        _ => fault,
    }
}

/// What to say where something of a job is asked for that only checkpoints give.
pub fn no_checkpoints(name: &str) -> Fault {
    Fault::invalid(format!("the job `{name}` makes no checkpoints: give it a table `[checkpoints]`"))
}

/// Tells the driver, if there is one.
struct ToDriver(Option<Sender<Notice>>);

impl Reports for ToDriver {
    fn snapshot(&mut self, task: TaskId, snapshot: TaskSnapshot) {
        if let Some(driver) = &self.0 {
            // It has ended, and so will this slot.
            let _ = driver.send(Notice::Snapshot(task, snapshot));
        }
    }

    fn done(&mut self, slot: Slot) -> bool {
        self.0.as_ref().is_some_and(|driver| driver.send(Notice::Done(slot)).is_ok())
    }
}
