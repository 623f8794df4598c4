//! From a plan to the tasks of each slot, joined by channels.
//!
//! Nodes that are joined by forward edges are one task; every other edge is a channel from each slot of the writer to
//! each slot of the reader. A forward edge may have to be a channel too: then within each slot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::connectors::{self, DeadLetters};
use crate::dataplane::channel::{Inlet, Outlet};
use crate::dataplane::dead_letter_limit::DeadLetterLimit;
use crate::dataplane::exchange::Router;
use crate::dataplane::metrics::NodeMetrics;
use crate::dataplane::task::{Destination, Edge, Member, Projection, Task};
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::plan::graph::{Exchange, Input, Node, NodeIndex, NodeKind, Plan, ProcessPlan};

use super::backend::Backend;
use super::channel::{Waker, channel};
use super::operators::{self, Gates, Start};
use super::slot::{SlotTask, TaskTime};

/// A job that is ready to run.
pub struct Wired {
    pub slots: Vec<WiredSlot>,
    /// For each node of the plan what it counts, by slot.
    pub metrics: Vec<Vec<Arc<NodeMetrics>>>,
    /// For each node of the plan the time of the task that it is in, by slot.
    pub times: Vec<Vec<Arc<TaskTime>>>,
}

impl Wired {
    /// A job of which nothing is to run.
    pub fn nothing(plan: &Plan) -> Self {
        let nodes = plan.nodes.len();
        Self { slots: Vec::new(), metrics: vec![Vec::new(); nodes], times: vec![Vec::new(); nodes] }
    }
}

pub struct WiredSlot {
    pub tasks: Vec<SlotTask>,
    pub waker: Waker,
}

/// The edge `input` of the node `reader`.
type EdgeId = (NodeIndex, usize);

struct Wiring<'a> {
    start: Start<'a>,
    plan: &'a Plan,
    backend: Backend,
    /// The first node of the task of each node.
    heads: Vec<NodeIndex>,
    wakers: Vec<Waker>,
    /// By edge and slots (writer, reader).
    outlets: BTreeMap<(EdgeId, Slot, Slot), Box<dyn Outlet>>,
    inlets: BTreeMap<(EdgeId, Slot, Slot), Box<dyn Inlet>>,
    metrics: Vec<Vec<Arc<NodeMetrics>>>,
    times: Vec<Vec<Arc<TaskTime>>>,
    dead_letters: DeadLetters,
}

/// Opens every connector and plugin: when this returns, the job can start.
pub fn wire(start: Start<'_>) -> Result<Wired, Fault> {
    let plan = start.plan;
    let nodes = plan.nodes.len();
    let mut wiring = Wiring {
        start,
        plan,
        backend: Backend::start(&plan.state)?,
        heads: task_heads(plan),
        wakers: plan.slots.slots().map(|_| Waker::default()).collect(),
        outlets: BTreeMap::new(),
        inlets: BTreeMap::new(),
        metrics: vec![Vec::new(); nodes],
        times: vec![Vec::new(); nodes],
        dead_letters: connectors::open_dead_letters(&plan.dead_letters),
    };
    wiring.open_channels();
    let slots = plan.slots.slots().map(|slot| wiring.slot(slot)).collect::<Result<_, _>>()?;
    Ok(Wired { slots, metrics: wiring.metrics, times: wiring.times })
}

/// Nodes of one task have the same head. Inputs stand before their readers, so one pass joins chains; a node with
/// several forward inputs joins their tasks into one. Not where a task would read what it writes itself, be it by way of
/// others: it would wait for its own barrier, and for its own room.
fn task_heads(plan: &Plan) -> Vec<NodeIndex> {
    let mut heads: Vec<NodeIndex> = (0..plan.nodes.len()).map(NodeIndex).collect();
    for (index, node) in plan.nodes.iter().enumerate() {
        for input in node.inputs.iter().filter(|input| input.exchange == Exchange::Forward) {
            let (a, b) = (heads[index], heads[input.from.0]);
            let (first, other) = (a.min(b), a.max(b));
            let joined: Vec<NodeIndex> = heads.iter().map(|head| if *head == other { first } else { *head }).collect();
            if !has_cycle(plan, &joined) {
                heads = joined;
            }
        }
    }
    heads
}

/// Whether channels lead from a task to itself.
fn has_cycle(plan: &Plan, heads: &[NodeIndex]) -> bool {
    let mut channels: BTreeSet<(NodeIndex, NodeIndex)> = BTreeSet::new();
    for (reader, node) in plan.nodes.iter().enumerate() {
        let inputs = node.inputs.iter().filter(|input| !is_member_edge(heads, NodeIndex(reader), input));
        channels.extend(inputs.map(|input| (heads[input.from.0], heads[reader])));
    }
    // Of tasks that nobody else writes to, none is in a circle.
    loop {
        let all = channels.len();
        let readers: BTreeSet<NodeIndex> = channels.iter().map(|(_, reader)| *reader).collect();
        channels.retain(|(writer, _)| readers.contains(writer));
        if channels.len() == all {
            return all > 0;
        }
    }
}

/// Whether batches pass by calls, within a task.
fn is_member_edge(heads: &[NodeIndex], reader: NodeIndex, input: &Input) -> bool {
    input.exchange == Exchange::Forward && heads[input.from.0] == heads[reader.0]
}

impl Wiring<'_> {
    fn node(&self, index: NodeIndex) -> &Node {
        &self.plan.nodes[index.0]
    }

    fn edges(&self) -> impl Iterator<Item = (EdgeId, &Input)> {
        let nodes = self.plan.nodes.iter().enumerate();
        nodes.flat_map(|(reader, node)| {
            node.inputs.iter().enumerate().map(move |(input, edge)| ((NodeIndex(reader), input), edge))
        })
    }

    fn open_channels(&mut self) {
        let mut ends = Vec::new();
        for (edge, input) in self.edges().filter(|(edge, input)| !is_member_edge(&self.heads, edge.0, input)) {
            for writer in self.node(input.from).parallelism.slots() {
                for reader in self.readers(edge, writer) {
                    let wakers = (&self.wakers[writer.0 as usize], &self.wakers[reader.0 as usize]);
                    let (outlet, inlet) = channel(self.plan.limits.channel_bytes_max, wakers.0, wakers.1);
                    ends.push(((edge, writer, reader), outlet, inlet));
                }
            }
        }
        for (key, outlet, inlet) in ends {
            self.outlets.insert(key, outlet);
            self.inlets.insert(key, inlet);
        }
    }

    fn slot(&mut self, slot: Slot) -> Result<WiredSlot, Fault> {
        let mut heads: Vec<NodeIndex> = self.heads.clone();
        heads.dedup();
        heads.sort();
        heads.dedup();
        let mut tasks = Vec::new();
        // Readers first: what is nearest to the sinks is stepped before more is taken in.
        for head in heads.into_iter().rev() {
            if slot.0 < self.node(head).parallelism.get() {
                tasks.push(self.task(head, slot)?);
            }
        }
        Ok(WiredSlot { tasks, waker: self.wakers[slot.0 as usize].clone() })
    }

    fn task(&mut self, head: NodeIndex, slot: Slot) -> Result<SlotTask, Fault> {
        let nodes: Vec<NodeIndex> = (0..self.heads.len()).filter(|i| self.heads[*i] == head).map(NodeIndex).collect();
        let time = Arc::new(TaskTime::default());
        let members = nodes.iter().map(|node| self.member(*node, &nodes, slot)).collect::<Result<Vec<_>, _>>()?;
        let mut task = Task::new(members, Box::new(self.dead_letters.clone()));
        for (member, node) in nodes.iter().enumerate() {
            self.times[node.0].push(Arc::clone(&time));
            for (edge, gate, writer) in self.channel_gates(*node, slot) {
                let inlet = self.inlets.remove(&(edge, writer, slot)).expect("a channel has one reader");
                task.add_inlet(inlet, member, gate, self.may_be_overtaken(edge));
            }
        }
        Ok(SlotTask::new(task, time))
    }

    fn member(&mut self, index: NodeIndex, task: &[NodeIndex], slot: Slot) -> Result<Member, Fault> {
        let plan = self.plan;
        let node = self.node(index);
        let gates_of = |is_broadcast_input| {
            let inputs =
                node.inputs.iter().enumerate().filter(move |(_, input)| input.is_broadcast_input == is_broadcast_input);
            inputs.map(|(input, _)| self.gates_of(index, input)).sum()
        };
        let gates = Gates { rows: gates_of(false), broadcast: gates_of(true) };
        let (counters, histograms) = match &node.kind {
            NodeKind::Process(ProcessPlan { descriptor, .. }) => {
                (descriptor.counters.len(), descriptor.histograms.len())
            }
            _ => (0, 0),
        };
        let work = operators::start(&self.start, &self.backend, node, slot, gates)?;
        let uid = node.uid.clone();
        let metrics = Arc::new(NodeMetrics::new(counters, histograms));
        self.metrics[index.0].push(Arc::clone(&metrics));
        let mut edges: Vec<Vec<Edge>> = plan.nodes[index.0].outputs.iter().map(|_| Vec::new()).collect();
        let readers: Vec<(EdgeId, Input)> =
            self.edges().filter(|(_, input)| input.from == index).map(|(id, input)| (id, input.clone())).collect();
        for (id, input) in readers {
            let port = input.port;
            let edge = self.edge(id, &input, task, slot);
            edges[port].push(edge);
        }
        let dead_letter_limit = DeadLetterLimit::new(plan.limits.dead_letter_fraction_max);
        Ok(Member { uid, work, edges, metrics, dead_letter_limit, ended: false })
    }

    fn edge(&mut self, id: EdgeId, input: &Input, task: &[NodeIndex], slot: Slot) -> Edge {
        let reader = self.node(id.0);
        let port = &self.node(input.from).outputs[input.port].schema;
        let projection = (!input.is_identity(port))
            .then(|| Projection { schema: reader.schema_of(input).clone(), columns: input.columns.clone() });
        let to = if is_member_edge(&self.heads, id.0, input) {
            let member = task.iter().position(|node| *node == id.0).expect("a forward edge stays in its task");
            Destination::Member { member, gate: self.first_gate(id) }
        } else {
            let outlets = self
                .readers(id, slot)
                .into_iter()
                .map(|reader| self.outlets.remove(&(id, slot, reader)).expect("a channel has one writer"))
                .collect();
            Destination::Channels(Router::new(input.exchange.clone(), outlets, self.plan.max_parallelism))
        };
        Edge { projection, to }
    }

    /// What is broadcast reaches several slots, and belongs to none of them. What goes forward is in its key's order, and
    /// belongs to no key that its reader knows of: with other slots, the rows that follow would not come behind it (Flink
    /// aligns such channels too). A window that may fire again for late rows would not know for which of its keys it has.
    fn may_be_overtaken(&self, (reader, input): EdgeId) -> bool {
        let node = self.node(reader);
        let fires_again = matches!(&node.kind, NodeKind::Window(window) if window.allowed_lateness.0 > 0);
        !matches!(node.inputs[input].exchange, Exchange::Broadcast | Exchange::Forward) && !fires_again
    }

    /// How many gates of its reader an edge has.
    fn gates_of(&self, reader: NodeIndex, input: usize) -> usize {
        let edge = &self.node(reader).inputs[input];
        match edge.exchange {
            Exchange::Forward => 1,
            _ => self.node(edge.from).parallelism.get().into(),
        }
    }

    fn first_gate(&self, (reader, input): EdgeId) -> usize {
        (0..input).map(|earlier| self.gates_of(reader, earlier)).sum()
    }

    /// The slots that a slot of its writer sends an edge's rows to.
    fn readers(&self, (reader, input): EdgeId, writer: Slot) -> Vec<Slot> {
        let node = self.node(reader);
        match node.inputs[input].exchange {
            Exchange::Forward => vec![writer],
            _ => node.parallelism.slots().collect(),
        }
    }

    /// The gates of a node in a slot that are channels, with the slot that writes to each.
    fn channel_gates(&self, reader: NodeIndex, slot: Slot) -> Vec<(EdgeId, usize, Slot)> {
        let mut gates = Vec::new();
        for (input, edge) in self.node(reader).inputs.iter().enumerate() {
            if is_member_edge(&self.heads, reader, edge) {
                continue;
            }
            let first = self.first_gate((reader, input));
            match edge.exchange {
                Exchange::Forward => gates.push(((reader, input), first, slot)),
                _ => {
                    let writers = self.node(edge.from).parallelism.slots().enumerate();
                    gates.extend(writers.map(|(i, writer)| ((reader, input), first + i, writer)));
                }
            }
        }
        gates
    }
}
