//! A slot: a thread that steps its tasks in turn, does what it is told, and sleeps when there is nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use crate::dataplane::snapshot::{Restored, TaskSnapshot};
use crate::dataplane::task::{Progress, Task};
use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::time::Timestamp;

use super::channel::Waker;

/// Batches that a task takes before it is the next one's turn.
const BUDGET: usize = 16;

/// A slot looks for orders this often, however idle.
const SLEEP_MAX: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Sources stop reading; what is in flight is finished.
    Drain,
    /// Begin a checkpoint.
    Checkpoint(Barrier),
    /// Stop where you are. Without senders it is the same.
    Stop,
}

/// A task of a job: the slot, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub slot: Slot,
    pub task: usize,
}

/// What a slot has to say; called on its thread.
pub trait Reports: Send {
    /// A barrier has passed this task.
    fn snapshot(&mut self, task: TaskId, snapshot: TaskSnapshot);

    /// Every task of the slot is done. Whether it waits for orders all the same: there may be checkpoints to come.
    fn done(&mut self, slot: Slot) -> bool;
}

/// Where a task's time went, in nanoseconds.
#[derive(Debug, Default)]
pub struct TaskTime {
    pub busy: AtomicU64,
    pub backpressured: AtomicU64,
    /// Since somebody took it last. A barrier's snapshot is part of a step.
    longest_step: AtomicU64,
}

impl TaskTime {
    fn worked(&self, nanos: u64) {
        self.busy.fetch_add(nanos, Relaxed);
        self.longest_step.fetch_max(nanos, Relaxed);
    }

    /// The longest time that one step kept the task from the next, since this was asked last.
    pub fn take_longest_step(&self) -> Duration {
        Duration::from_nanos(self.longest_step.swap(0, Relaxed))
    }
}

pub struct SlotTask {
    task: Task,
    time: Arc<TaskTime>,
    /// Of its last step.
    progress: Progress,
}

impl SlotTask {
    pub fn new(task: Task, time: Arc<TaskTime>) -> Self {
        Self { task, time, progress: Progress::Worked }
    }

    /// One step of the task; see `Task::step`.
    pub fn step(&mut self, now: Timestamp, budget: usize) -> Result<Progress, Fault> {
        self.progress = self.task.step(now, budget)?;
        Ok(self.progress)
    }

    pub fn task(&mut self) -> &mut Task {
        &mut self.task
    }
}

/// The tasks of one slot, and who is told of them.
pub struct SlotLoop<R> {
    pub slot: Slot,
    pub tasks: Vec<SlotTask>,
    pub orders: Receiver<Order>,
    pub reports: R,
}

impl<R: Reports> SlotLoop<R> {
    /// Runs until every task is done and nothing is waited for, one fails, or the slot is told to stop.
    pub fn run(mut self, from: Option<&dyn Restored>, me: &Waker) -> Result<(), Fault> {
        me.is_me();
        self.restore(from)?;
        let mut clock = Clock::start();
        let mut is_done = false;
        while self.obey()? {
            let round = self.round(&mut clock)?;
            if round.done && !is_done {
                is_done = true;
                if !self.reports.done(self.slot) {
                    return Ok(());
                }
            }
            if !round.worked {
                std::thread::park_timeout(clock.until(round.wake_at).min(SLEEP_MAX));
                let slept = clock.lap();
                for slot in self.tasks.iter().filter(|slot| slot.progress == Progress::Blocked) {
                    slot.time.backpressured.fetch_add(slept, Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Takes over what a checkpoint holds; before anything else.
    pub fn restore(&mut self, from: Option<&dyn Restored>) -> Result<(), Fault> {
        let Some(from) = from else { return Ok(()) };
        let remembers = self.slot == Slot(0);
        self.tasks.iter_mut().try_for_each(|slot| slot.task.restore(from, remembers))
    }

    /// Does what was ordered; whether to go on.
    pub fn obey(&mut self) -> Result<bool, Fault> {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Drain) => self.tasks.iter_mut().for_each(|slot| slot.task.drain()),
                Ok(Order::Checkpoint(barrier)) => {
                    for slot in &mut self.tasks {
                        slot.task.begin_checkpoint(barrier)?;
                    }
                    self.report_snapshots();
                }
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return Ok(false),
                Err(TryRecvError::Empty) => return Ok(true),
            }
        }
    }

    /// A step of every task.
    fn round(&mut self, clock: &mut Clock) -> Result<Round, Fault> {
        let mut round = Round { worked: false, done: true, wake_at: Timestamp::MAX };
        for slot in &mut self.tasks {
            match slot.step(clock.now(), BUDGET)? {
                Progress::Worked => {
                    round.worked = true;
                    // With what was obeyed before it: a barrier begins there.
                    slot.time.worked(clock.lap());
                }
                Progress::Waiting(until) => round.wake_at = round.wake_at.min(until),
                Progress::Blocked | Progress::Done => {}
            }
            round.done &= slot.progress == Progress::Done;
        }
        self.report_snapshots();
        Ok(round)
    }

    /// Tells of the barriers that have passed.
    pub fn report_snapshots(&mut self) {
        for (number, slot) in self.tasks.iter_mut().enumerate() {
            if let Some(snapshot) = slot.task.take_snapshot() {
                self.reports.snapshot(TaskId { slot: self.slot, task: number }, snapshot);
            }
        }
    }
}

/// What a step of every task came to.
struct Round {
    worked: bool,
    done: bool,
    wake_at: Timestamp,
}

/// Processing time, read once a step; it never falls.
struct Clock {
    now: Timestamp,
    lap: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { now: wall_clock(), lap: Instant::now() }
    }

    fn now(&mut self) -> Timestamp {
        self.now = self.now.max(wall_clock());
        self.now
    }

    fn until(&self, at: Timestamp) -> Duration {
        Duration::from_micros(at.0.saturating_sub(self.now.0).max(0).unsigned_abs())
    }

    /// Nanoseconds since the last lap.
    fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let nanos = now.duration_since(self.lap).as_nanos() as u64;
        self.lap = now;
        nanos
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
