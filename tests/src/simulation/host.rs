//! A host that runs a job, on one thread: every step of a task, every order, notice and write is one that the simulation
//! chooses.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use wasmill::control::checkpoint::claim::{StartFrom, claim_in};
use wasmill::control::checkpoint::coordinator::Then;
use wasmill::control::checkpoint::driver::{Driver, Mailbox, Means, Notice, Writers};
use wasmill::control::checkpoint::record::Place;
use wasmill::control::checkpoint::savepoint::{Ordered, SavepointOrder};
use wasmill::control::checkpoint::writer::Writer;
use wasmill::dataplane::snapshot::{Restored, TaskSnapshot};
use wasmill::dataplane::task::Progress;
use wasmill::model::checkpoint::Incarnation;
use wasmill::model::fault::Fault;
use wasmill::model::id::Slot;
use wasmill::model::time::Timestamp;
use wasmill::plan::graph::Plan;
use wasmill::store::Store;
use wasmill::worker::operators::{Start, sandboxed};
use wasmill::worker::slot::{Reports, SlotLoop, TaskId};
use wasmill::worker::wiring::wire;

type Shared<T> = Arc<Mutex<VecDeque<T>>>;

/// What slots have to say, until the driver hears it.
struct ToNotices(Shared<Notice>);

impl Reports for ToNotices {
    fn snapshot(&mut self, task: TaskId, snapshot: TaskSnapshot) {
        self.0.lock().unwrap().push_back(Notice::Snapshot(task, snapshot));
    }

    fn done(&mut self, slot: Slot) -> bool {
        self.0.lock().unwrap().push_back(Notice::Done(slot));
        true
    }
}

/// Snapshots until they are written.
struct ToQueue(Shared<(TaskId, TaskSnapshot, Place)>);

impl Writers for ToQueue {
    fn write(&mut self, task: TaskId, snapshot: TaskSnapshot, place: Place) {
        self.0.lock().unwrap().push_back((task, snapshot, place));
    }
}

pub struct Host {
    writer: Writer,
    /// With whether it has said that it is done; `None` = it was told to stop.
    slots: Vec<Option<(SlotLoop<ToNotices>, bool)>>,
    driver: Driver<ToQueue>,
    notices: Shared<Notice>,
    unwritten: Shared<(TaskId, TaskSnapshot, Place)>,
    /// Events that barriers have overtaken.
    pub overtaken: u64,
}

impl Host {
    /// Starts the job.
    pub fn start(plan: &Arc<Plan>, store: &Store, from: &StartFrom, now: Timestamp) -> Result<Self, Fault> {
        let checkpoints = plan.checkpoints.clone().expect("the job makes checkpoints");
        let claimed = claim_in(store.clone(), plan, checkpoints, from, false, &AtomicU64::new(0))?;
        let incarnation = Incarnation::of(&claimed.decisions);
        let wired = wire(Start { plan, make: sandboxed, incarnation: Some(incarnation), transactions: None })?;
        let (notices, unwritten) = (Shared::default(), Shared::default());
        let (mut slots, mut mailboxes, mut tasks) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (number, wired) in wired.slots.into_iter().enumerate() {
            let slot = Slot(number as u16);
            let (sender, orders) = channel();
            mailboxes.push(Mailbox { orders: sender, waker: wired.waker });
            tasks.extend((0..wired.tasks.len()).map(|task| TaskId { slot, task }));
            let reports = ToNotices(Arc::clone(&notices));
            let mut slot = SlotLoop { slot, tasks: wired.tasks, orders, reports };
            let origin = claimed.origin.as_ref().map(|origin| origin.for_slot(plan, slot.slot));
            slot.restore(origin.as_ref().map(|origin| origin as &dyn Restored))?;
            slots.push(Some((slot, false)));
        }
        let means = Means {
            plan: Arc::clone(plan),
            checkpoints: claimed.plan,
            store: claimed.store,
            decisions: claimed.decisions,
            slots: Arc::new(mailboxes),
            tasks,
            times: wired.times,
            committers: claimed.committers,
            first: claimed.first,
            kept: claimed.kept,
        };
        let driver = Driver::new(means, ToQueue(Arc::clone(&unwritten)), now);
        Ok(Self { writer: Writer::default(), slots, driver, notices, unwritten, overtaken: 0 })
    }

    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// One step of a task; `None` = there is no such task now.
    pub fn step(&mut self, slot: usize, task: usize, now: Timestamp, budget: usize) -> Result<Option<Progress>, Fault> {
        let Some((slot, said_done)) = &mut self.slots[slot] else { return Ok(None) };
        let task = task % slot.tasks.len();
        let progress = slot.tasks[task].step(now, budget)?;
        slot.report_snapshots();
        let is_done = |slot: &mut SlotLoop<ToNotices>| {
            let mut tasks = slot.tasks.iter_mut();
            tasks.all(|task| task.step(now, 0) == Ok(Progress::Done))
        };
        if progress == Progress::Done && !*said_done && is_done(slot) {
            *said_done = true;
            slot.reports.done(slot.slot);
        }
        Ok(Some(progress))
    }

    pub fn obey(&mut self, slot: usize) -> Result<(), Fault> {
        if let Some((running, _)) = &mut self.slots[slot]
            && !running.obey()?
        {
            self.slots[slot] = None;
        }
        Ok(())
    }

    /// The driver hears the next notice; whether there was one.
    pub fn hear(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let notice = self.notices.lock().unwrap().pop_front();
        match notice {
            Some(notice) => self.driver.hear(notice, now).map(|()| true),
            None => Ok(false),
        }
    }

    /// One of the snapshots that wait is written; whether there was one.
    pub fn write(&mut self, which: usize) -> bool {
        let mut unwritten = self.unwritten.lock().unwrap();
        if unwritten.is_empty() {
            return false;
        }
        let which = which % unwritten.len();
        let Some((task, snapshot, place)) = unwritten.remove(which) else { return false };
        drop(unwritten);
        self.overtaken += snapshot.members.iter().map(|member| member.in_flight).sum::<u64>();
        let notice = self.writer.write(task, snapshot, &place);
        self.notices.lock().unwrap().push_back(notice);
        true
    }

    pub fn tick(&mut self, now: Timestamp) -> Result<(), Fault> {
        if self.driver.wake_at() <= now { self.driver.tick(now) } else { Ok(()) }
    }

    pub fn stop(&mut self) {
        self.notices.lock().unwrap().push_back(Notice::Stop);
    }

    /// Somebody asks for a savepoint in the job's place.
    pub fn order_savepoint(&mut self, then: Then) -> Ordered {
        let (order, ordered) = SavepointOrder::new(None, then);
        self.notices.lock().unwrap().push_back(Notice::Savepoint(order));
        ordered
    }

    pub fn is_over(&self) -> bool {
        self.driver.is_over()
    }
}
