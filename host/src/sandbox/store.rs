//! What the host keeps for an instance: its limits, and what it has used of them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::dataplane::output_budget::OutputBudget;
use crate::dataplane::overlay::Overlay;
use crate::model::id::Uid;
use crate::plan::graph::PluginLimits;

use super::engine::engine;
use super::telemetry::Telemetry;

pub struct Host {
    pub telemetry: Telemetry,
    /// The lists and maps of the call that runs.
    pub state: Overlay,
    limits: PluginLimits,
    /// The thread's CPU time when the first tick found the current call running.
    seen_at: Option<Duration>,
    /// What broke a limit or the contract, for the message: wasmtime's own says only that it trapped.
    broken: Option<String>,
}

/// A store whose calls are bounded in CPU time, memory and output.
pub fn new(node: &Uid, limits: PluginLimits) -> wasmtime::Result<Store<Host>> {
    let (telemetry, state) = (Telemetry::new(node.clone(), limits), Overlay::default());
    let host = Host { telemetry, state, limits, seen_at: None, broken: None };
    let mut store = Store::new(engine(limits.trusted)?, host);
    store.limiter(|host| host);
    store.set_hostcall_fuel(limits.output_bytes_max);
    if !limits.trusted {
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().check_cpu()));
        store.set_epoch_deadline(1);
    }
    Ok(store)
}

impl Host {
    /// Before each call.
    pub fn begin(&mut self) {
        self.seen_at = None;
        self.broken = None;
        self.telemetry.begin();
    }

    /// For the answer of a call, or the arguments of one to the host.
    pub fn output_budget(&self) -> OutputBudget {
        OutputBudget::new(self.limits.output_bytes_max)
    }

    /// What a trap that the host made was about.
    pub fn take_broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    /// Ends the call with a trap that says this.
    pub fn refuse(&mut self, reason: String) -> wasmtime::Error {
        let error = wasmtime::Error::msg(reason.clone());
        self.broken = Some(reason);
        error
    }

    /// CPU time, so that a busy neighbour does not make a call look long. The first tick of a call starts the count:
    /// a call is charged from there on, and reading a clock for each call is spared.
    fn check_cpu(&mut self) -> UpdateDeadline {
        let now = thread_cpu_time();
        let start = *self.seen_at.get_or_insert(now);
        if now.saturating_sub(start) < self.limits.cpu_per_call.into() {
            return UpdateDeadline::Continue(1);
        }
        self.broken = Some(format!("a call ran for more than cpu_per_call: {}", self.limits.cpu_per_call));
        UpdateDeadline::Interrupt
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.limits.memory_bytes_max;
        if !allowed {
            let limit = self.limits.memory_bytes_max;
            self.broken = Some(format!("it needed {desired} bytes of memory; memory_bytes_max is {limit}"));
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        /// Function pointers: more than any compiler makes.
        const TABLE_ELEMENTS_MAX: usize = 100_000;
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}
