//! The plan: a resolved, checked graph. Every name is an index, every schema is known, nothing is optional that is
//! always there. `spec` is what people write; `resolve` makes a plan of it.

use std::path::PathBuf;

use crate::model::id::{Parallelism, PluginDigest, Uid};
use crate::model::schema::Schema;
use crate::model::time::Micros;

use super::connector::{DeadLetterFile, SinkConnector, SourcePlan, TimePlan};
use super::descriptor::Descriptor;
use super::fault_tolerance::{CheckpointPlan, RestartPlan};
use super::state_backend::StateBackend;

#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    /// Worker threads: the largest parallelism of any node.
    pub slots: Parallelism,
    /// Key groups.
    pub max_parallelism: u16,
    /// Every node stands behind those that it reads from.
    pub nodes: Vec<Node>,
    pub dead_letters: DeadLetterFile,
    pub checkpoints: Option<CheckpointPlan>,
    pub restart: RestartPlan,
    pub state: StateBackend,
    pub limits: Limits,
}

/// Index into `Plan::nodes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

#[derive(Clone, Debug)]
pub struct Node {
    pub uid: Uid,
    /// Slots `0 .. parallelism` run it.
    pub parallelism: Parallelism,
    /// Those of the broadcast input stand behind the others.
    pub inputs: Vec<Input>,
    /// The columns of what this node reads, after `Input::columns`; a source has none. A broadcast input has its own: see
    /// `Node::schema_of`.
    pub input_schema: Schema,
    pub kind: NodeKind,
    /// A sink has none. A port may be read by several nodes, or by none.
    pub outputs: Vec<Output>,
}

impl Node {
    /// The columns that the node reads of an edge.
    pub fn schema_of(&self, input: &Input) -> &Schema {
        match &self.kind {
            NodeKind::Process(process) if input.is_broadcast_input => &process.plugin.inputs[BROADCAST_INPUT],
            _ => &self.input_schema,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Output {
    /// `main`, or the name of a side output.
    pub name: String,
    pub schema: Schema,
}

/// An edge, kept at its reader.
#[derive(Clone, Debug)]
pub struct Input {
    pub from: NodeIndex,
    /// Index into the outputs of `from`.
    pub port: usize,
    /// It is part of the operator's second input, and not of its first.
    pub is_broadcast_input: bool,
    pub exchange: Exchange,
    /// For each column of the reader's input schema where it stands in the port's schema; `None` = null.
    pub columns: Vec<Option<usize>>,
}

impl Input {
    /// Whether batches pass as they are.
    pub fn is_identity(&self, port: &Schema) -> bool {
        self.columns.len() == port.fields().len()
            && self.columns.iter().enumerate().all(|(i, column)| *column == Some(i))
    }
}

/// How rows find the slot of the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// They stay in their slot.
    Forward,
    /// By key group; the columns are indices into the port's schema.
    Hash { key: Vec<usize> },
    /// Batches go round.
    Rebalance,
    /// Every slot gets every row.
    Broadcast,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    Source(SourcePlan),
    Process(ProcessPlan),
    Window(WindowPlan),
    Sink(SinkConnector),
}

/// A `process` operator of a plugin.
#[derive(Clone, Debug)]
pub struct ProcessPlan {
    pub plugin: PluginRef,
    pub descriptor: Descriptor,
    /// Indices into the input schema; `None` = not keyed.
    pub key: Option<Vec<usize>>,
    /// Event times and watermarks that the main output gets, instead of inheriting them: the column is one of the
    /// main output's.
    pub time: Option<TimePlan>,
}

/// What the sandbox needs to make an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginRef {
    pub path: PathBuf,
    pub digest: PluginDigest,
    pub operator: String,
    /// JSON.
    pub config: String,
    /// Of each input.
    pub inputs: Vec<Schema>,
}

/// The number of an operator's broadcast input; that of its rows is 0.
pub const BROADCAST_INPUT: usize = 1;

/// Output: the key columns, `window_start`, `window_end`, then a column for each native aggregate and the columns of
/// each plugin's. The main port, then `late`: the rows that came too late, as they were.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    /// Indices into the input schema; may be empty (one window over all events, at parallelism 1).
    pub key: Vec<usize>,
    pub window: Window,
    pub allowed_lateness: Micros,
    pub aggregates: Vec<AggregatePlan>,
}

/// Event-time windows `[start, start + size)`, starts being multiples of `slide` plus `offset`. Tumbling windows have
/// `slide == size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub size: Micros,
    pub slide: Micros,
    pub offset: Micros,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a plan has a handful of them")]
pub enum AggregatePlan {
    /// One column called `name`.
    Native { name: String, function: NativeAggregate },
    /// The columns of the plugin's main output: prefixed with `name_`, or called `name` if there is only one.
    Plugin { name: String, plugin: PluginRef, descriptor: Descriptor },
}

/// Columns are indices into the input schema. Nulls do not count, but in `Count { column: None }`. `count` is i64,
/// `sum` of integers is i64 (u64 for unsigned), of floats f64, of decimals a decimal of 38 digits; an overflow is a
/// fault that names the window. `min` and `max` have the type of the column, `avg` is f64; all but `count` are null
/// for a window without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeAggregate {
    Count { column: Option<usize> },
    Sum { column: usize },
    Min { column: usize },
    Max { column: usize },
    Avg { column: usize },
}

/// Bounds of the job, each with a default that `spec` documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of a batch that a source makes.
    pub batch_rows_max: usize,
    pub batch_bytes_max: usize,
    /// Bytes in flight on a channel between two slots.
    pub channel_bytes_max: usize,
    /// A source does not wait longer than this for a batch to fill.
    pub flush_interval: Micros,
    /// The job fails when more than this part of the last 10,000 events of an operator became dead letters.
    pub dead_letter_fraction_max: f64,
    pub plugin: PluginLimits,
}

/// What a plugin's instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// CPU time of one call.
    pub cpu_per_call: Micros,
    pub memory_bytes_max: usize,
    /// Of what one call returns.
    pub output_bytes_max: usize,
    pub state_value_bytes_max: usize,
    /// Of what one read of lists and maps returns.
    pub state_read_bytes_max: usize,
    pub state_read_entries_max: usize,
    /// Of what one call writes to lists and maps.
    pub state_write_bytes_max: usize,
    /// Of an operator's broadcast state, in each slot: keys and values.
    pub broadcast_state_bytes_max: usize,
    pub key_bytes_max: usize,
    pub timers_per_key_max: usize,
    pub log_lines_per_second_max: u32,
    /// No interruption: for code that the operator of the host trusts to end.
    pub trusted: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_rows_max: 8192,
            batch_bytes_max: 1 << 20,
            channel_bytes_max: 1 << 20,
            flush_interval: Micros(10_000),
            dead_letter_fraction_max: 0.01,
            plugin: PluginLimits::default(),
        }
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            cpu_per_call: Micros(1_000_000),
            memory_bytes_max: 256 << 20,
            output_bytes_max: 64 << 20,
            state_value_bytes_max: 1 << 20,
            state_read_bytes_max: 1 << 20,
            state_read_entries_max: 65_536,
            state_write_bytes_max: 64 << 20,
            broadcast_state_bytes_max: 64 << 20,
            key_bytes_max: 64 << 10,
            timers_per_key_max: 1_000,
            log_lines_per_second_max: 100,
            trusted: false,
        }
    }
}
