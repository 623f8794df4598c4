//! A slot: a thread that steps its tasks in turn, and sleeps when none of them has anything to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use crate::dataplane::task::{Progress, Task};
use crate::model::fault::Fault;
use crate::model::time::Timestamp;

use super::channel::Waker;

/// Batches that a task takes before it is the next one's turn.
const BUDGET: usize = 16;

/// A slot looks for orders this often, however idle.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// What everybody tells the slots of a job.
#[derive(Debug, Default)]
pub struct Orders {
    drain: AtomicBool,
    abort: AtomicBool,
}

impl Orders {
    /// Sources stop reading; what is in flight is finished.
    pub fn drain(&self) {
        self.drain.store(true, Relaxed);
    }

    /// Stop where you are.
    pub fn abort(&self) {
        self.abort.store(true, Relaxed);
    }
}

/// Where a task's time went, in nanoseconds.
#[derive(Debug, Default)]
pub struct TaskTime {
    pub busy: AtomicU64,
    pub backpressured: AtomicU64,
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

    /// Its sources stop reading; see `Task::drain`.
    pub fn drain(&mut self) {
        self.task.drain();
    }
}

/// Runs until every task is done, one fails, or the job is aborted.
pub fn run(mut tasks: Vec<SlotTask>, orders: &Orders, me: &Waker) -> Result<(), Fault> {
    me.is_me();
    let mut drained = false;
    let mut clock = Clock::start();
    while !orders.abort.load(Relaxed) {
        if !drained && orders.drain.load(Relaxed) {
            drained = true;
            tasks.iter_mut().for_each(SlotTask::drain);
        }
        let (mut worked, mut done) = (false, true);
        let mut wake_at = Timestamp::MAX;
        for slot in &mut tasks {
            match slot.step(clock.now(), BUDGET)? {
                Progress::Worked => {
                    worked = true;
                    slot.time.busy.fetch_add(clock.lap(), Relaxed);
                }
                Progress::Waiting(until) => wake_at = wake_at.min(until),
                Progress::Blocked | Progress::Done => {}
            }
            done &= slot.progress == Progress::Done;
        }
        if done {
            return Ok(());
        }
        if !worked {
            std::thread::park_timeout(clock.until(wake_at).min(SLEEP_MAX));
            let slept = clock.lap();
            for slot in tasks.iter().filter(|slot| slot.progress == Progress::Blocked) {
                slot.time.backpressured.fetch_add(slept, Relaxed);
            }
        }
    }
    Ok(())
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
