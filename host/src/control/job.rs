//! A running job: its slot threads, and what they have to say.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::dataplane::metrics::NodeMetrics;
use crate::model::fault::{Fault, FaultKind};
use crate::plan::graph::Plan;
use crate::worker::channel::Waker;
use crate::worker::operators::{self, MakeProcess};
use crate::worker::slot::{self, Orders, TaskTime};
use crate::worker::wiring::{WiredSlot, wire};

pub struct Job {
    pub plan: Arc<Plan>,
    /// By node, then by slot.
    pub metrics: Vec<Vec<Arc<NodeMetrics>>>,
    pub times: Vec<Vec<Arc<TaskTime>>>,
    orders: Arc<Orders>,
    wakers: Vec<Waker>,
    /// One message for each slot that ended.
    ended: UnboundedReceiver<Result<(), Fault>>,
    running: usize,
}

impl Job {
    /// Opens everything that the plan names, then starts a thread for each slot.
    pub fn start(plan: Plan) -> Result<Self, Fault> {
        Self::start_with(plan, operators::sandboxed)
    }

    pub fn start_with(plan: Plan, make: MakeProcess) -> Result<Self, Fault> {
        let wired = wire(&plan, make)?;
        let orders = Arc::new(Orders::default());
        let wakers: Vec<Waker> = wired.slots.iter().map(|slot| slot.waker.clone()).collect();
        let (ends, ended) = unbounded_channel();
        let mut job = Self {
            plan: Arc::new(plan),
            metrics: wired.metrics,
            times: wired.times,
            orders,
            wakers,
            ended,
            running: 0,
        };
        for (number, slot) in wired.slots.into_iter().enumerate() {
            job.spawn(number, slot, ends.clone())?;
        }
        Ok(job)
    }

    fn spawn(&mut self, number: usize, slot: WiredSlot, ends: UnboundedSender<Result<(), Fault>>) -> Result<(), Fault> {
        let orders = Arc::clone(&self.orders);
        let name = format!("slot-{number}");
        let run = move || {
            let WiredSlot { tasks, waker } = slot;
            let ended = catch_unwind(AssertUnwindSafe(|| slot::run(tasks, &orders, &waker)));
            let ended = ended.unwrap_or_else(|panic| Err(panicked(number, panic.as_ref())));
            // Nobody listens when the job was dropped: then nobody wants to know.
            let _ = ends.send(ended);
        };
        std::thread::Builder::new()
            .name(name)
            .spawn(run)
            .map_err(|error| Fault::unavailable(format!("no thread for slot {number}: {error}")))?;
        self.running += 1;
        Ok(())
    }

    /// Waits for the job to end; the first fault ends it. May be called again when it was cancelled.
    pub async fn end(&mut self) -> Result<(), Fault> {
        let mut first = Ok(());
        while self.running > 0 {
            let Some(ended) = self.ended.recv().await else { break };
            self.running -= 1;
            if first.is_ok() && ended.is_err() {
                first = ended;
                self.abort();
            }
        }
        first
    }

    /// Sources stop; the job ends when what is in flight has been dealt with: the last watermark passes, windows fire.
    pub fn drain(&self) {
        self.orders.drain();
        self.wakers.iter().for_each(Waker::wake);
    }

    pub fn abort(&self) {
        self.orders.abort();
        self.wakers.iter().for_each(Waker::wake);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.abort();
    }
}

fn panicked(slot: usize, panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let message = format!("slot {slot} panicked, which is a bug in wasmill: {text}");
    Fault { kind: FaultKind::Internal, node: None, message }
}
