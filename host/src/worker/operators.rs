//! Builds what a node of the plan runs in one slot.

use crate::connectors::{self, SinkId, Transactions};
use crate::dataplane::function::{AggregateFunction, ProcessFunction};
use crate::dataplane::in_flight::Intake;
use crate::dataplane::keyed::{Keyed, layout};
use crate::dataplane::operator::Operator;
use crate::dataplane::process::ProcessOperator;
use crate::dataplane::sink::Sink;
use crate::dataplane::source::Source;
use crate::dataplane::task::{Running, TimeAssigner, Work};
use crate::dataplane::watermark::WatermarkMerge;
use crate::dataplane::window::WindowOperator;
use crate::model::checkpoint::Incarnation;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::plan::connector::TimePlan;
use crate::plan::graph::{AggregatePlan, Node, NodeKind, Plan, ProcessPlan, WindowPlan};
use crate::sandbox::aggregate::WasmAggregate;
use crate::sandbox::process::WasmProcess;
use crate::state::broadcast::BroadcastState;

use super::backend::Backend;

/// Makes the function of a process operator. Jobs run theirs in the sandbox; a bench may compare it with plain Rust.
pub type MakeProcess = fn(&Plan, &Node, &ProcessPlan) -> Result<Box<dyn ProcessFunction>, Fault>;

pub fn sandboxed(plan: &Plan, node: &Node, process: &ProcessPlan) -> Result<Box<dyn ProcessFunction>, Fault> {
    let function = WasmProcess::new(&node.uid, &process.plugin, &process.descriptor, plan.limits.plugin);
    Ok(Box::new(function.map_err(|error| Fault::plugin(error).at(&node.uid))?))
}

/// A start of a job.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub plan: &'a Plan,
    pub make: MakeProcess,
    /// `None` = the job has no checkpoints, and so no other start.
    pub incarnation: Option<Incarnation>,
    /// That sinks write in.
    pub transactions: Option<&'a dyn Transactions>,
}

/// The channels and chain links that lead to a node in a slot; those of its broadcast input stand behind the others.
#[derive(Clone, Copy)]
pub struct Gates {
    pub rows: usize,
    pub broadcast: usize,
}

/// What `node` does in `slot`.
pub fn start(start: &Start<'_>, backend: &Backend, node: &Node, slot: Slot, gates: Gates) -> Result<Work, Fault> {
    let Start { plan, .. } = *start;
    let (operator, time): (Box<dyn Operator>, Option<TimePlan>) = match &node.kind {
        NodeKind::Source(source) => {
            let splits = connectors::open_source(source, slot, node.parallelism)?;
            return Ok(Work::Source(Box::new(Source::new(node.uid.clone(), source, splits, &plan.limits))));
        }
        NodeKind::Process(process) => {
            (Box::new(start_process(start, backend, node, slot, process)?), process.time.clone())
        }
        NodeKind::Window(window) => {
            let window = start_window(plan, node, window)?;
            (Box::new(backend.with_spill(plan, node, slot, window)), None)
        }
        NodeKind::Sink(sink) => {
            let Start { incarnation, transactions, .. } = *start;
            let of = incarnation.map(|incarnation| SinkId { job: &plan.name, node: &node.uid, incarnation });
            let writer = connectors::open_sink(sink, &node.input_schema, slot, of.as_ref(), transactions)?;
            (Box::new(Sink::new(writer, incarnation.is_some())), None)
        }
    };
    let assigner = time.map(|time| TimeAssigner::new(time, node.outputs[0].schema.clone()));
    let intake = Intake::new(node, slot, plan.max_parallelism);
    let merge = WatermarkMerge::new(gates.rows + gates.broadcast);
    let first_broadcast_gate = gates.rows;
    Ok(Work::Operator(Box::new(Running { operator, merge, first_broadcast_gate, assigner, intake })))
}

fn start_process(
    start: &Start<'_>,
    backend: &Backend,
    node: &Node,
    slot: Slot,
    process: &ProcessPlan,
) -> Result<ProcessOperator, Fault> {
    let Start { plan, make, .. } = *start;
    let limits = plan.limits.plugin;
    let descriptor = &process.descriptor;
    let function = make(plan, node, process)?;
    // Without a key, state is that of the one empty key, and the operator runs in one slot.
    let stateful = !descriptor.states.is_empty() || !descriptor.timers.is_empty();
    let key = process.key.clone().or_else(|| stateful.then(Vec::new));
    let keyed = key.map(|key| {
        let state = backend.open(plan, node, slot, descriptor)?;
        let keyed = Keyed::new(key, &node.input_schema, state, plan.max_parallelism, descriptor, limits);
        Ok(match descriptor.has_broadcast_state() {
            true => {
                let layouts = descriptor.states.iter().map(layout);
                keyed.with_broadcast(BroadcastState::new(layouts, limits.broadcast_state_bytes_max, slot == Slot(0)))
            }
            false => keyed,
        })
    });
    let keyed = keyed.transpose()?;
    let (uid, descriptor) = (node.uid.clone(), descriptor.clone());
    Ok(ProcessOperator::new(uid, function, descriptor, &node.input_schema, keyed, limits.output_bytes_max))
}

fn start_window(plan: &Plan, node: &Node, window: &WindowPlan) -> Result<WindowOperator, Fault> {
    let mut functions: Vec<Box<dyn AggregateFunction>> = Vec::new();
    for aggregate in &window.aggregates {
        if let AggregatePlan::Plugin { plugin, descriptor, .. } = aggregate {
            let function = WasmAggregate::new(&node.uid, plugin, descriptor, plan.limits.plugin)
                .map_err(|error| Fault::plugin(error).at(&node.uid))?;
            functions.push(Box::new(function));
        }
    }
    let output = node.outputs[0].schema.clone();
    let (key_bytes_max, groups) = (plan.limits.plugin.key_bytes_max, plan.max_parallelism);
    let uid = node.uid.clone();
    Ok(WindowOperator::new(uid, window, key_bytes_max, &node.input_schema, output, groups, functions))
}
