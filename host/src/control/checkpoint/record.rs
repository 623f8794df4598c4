//! What a checkpoint writes down of a job: of each member of a task, then of each node of the plan.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::dataplane::sink_writer::Committable;
use crate::dataplane::snapshot::{Ahead, SourceSplit, Watermarks};
use crate::dataplane::window::accumulator::Accumulator;
use crate::model::checkpoint::Incarnation;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::key_group::groups_of;
use crate::model::schema::Field;
use crate::model::time::{Micros, Timestamp};
use crate::model::type_name::parse_field;
use crate::plan::connector::{Format, SourceConnector};
use crate::plan::graph::{AggregatePlan, NativeAggregate, Node, NodeKind, Plan, Window, WindowPlan};
use crate::state::snapshot::NativeForm;
use crate::storage::manifest::{
    AggregateRecord, FieldRecord, FileRecord, InFlightRecord, InputRecord, Kind, Manifest, NativeFileRecord,
    NativeRecord, NodeRecord, Shape, SlotRecord, StateRecord,
};
use crate::store::Store;

use super::coordinator::Complete;
use super::decisions::Decisions;

/// A file of state in the job's store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateFile {
    pub key: String,
    pub bytes: u64,
}

/// A member of a task in one slot, written.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRecord {
    pub uid: Uid,
    pub slot: Slot,
    pub progress: Watermarks,
    pub ahead: Vec<Ahead>,
    pub splits: Vec<SourceSplit>,
    /// Events on its channels that are part of its state.
    pub in_flight: u64,
    pub committables: Vec<Committable>,
    /// The file holds what has changed since the base.
    pub is_incremental: bool,
    pub written: Result<Written, Fault>,
}

/// The state of a member in one slot, in the job's store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Absent: there were no chunks.
    pub file: Option<StateFile>,
    pub native: Option<NativeState>,
}

/// Files of a backend's own, some of which other checkpoints may have too.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeState {
    pub form: NativeForm,
    pub groups: Range<u16>,
    /// By the name that the backend gives them.
    pub files: BTreeMap<String, NativeFile>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NativeFile {
    pub file: StateFile,
    pub checksum: Option<u64>,
}

impl Written {
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        let native = self.native.iter().flat_map(|native| native.files.values());
        self.file.iter().chain(native.map(|file| &file.file))
    }
}

/// Where a member's state is: what chunks stand in, from the oldest file to the newest, and a backend's own files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    pub files: Vec<StateFile>,
    pub native: Option<NativeState>,
}

impl Chain {
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.native.is_none()
    }

    pub fn all_files(&self) -> impl Iterator<Item = &StateFile> {
        let native = self.native.iter().flat_map(|native| native.files.values());
        self.files.iter().chain(native.map(|file| &file.file))
    }
}

impl Incarnation {
    pub fn of(decisions: &Decisions) -> Self {
        Self { job_id: decisions.job_id(), number: decisions.incarnation() }
    }

    /// Where a checkpoint's files go in the job's store. The incarnation is part of it: a host that was taken for dead
    /// writes into no one else's folder.
    pub fn folder(self, checkpoint: u64) -> String {
        format!("{CHECKPOINTS}/{}-{checkpoint}", self.number)
    }

    /// The same of a savepoint whose place nobody chose.
    pub fn savepoint_folder(self, checkpoint: u64) -> String {
        format!("{SAVEPOINTS}/{}-{checkpoint}", self.number)
    }

    /// Where the files of state go of a savepoint in a chosen folder, where another start's or another job's may be.
    pub fn state_folder(self, chosen: &str, checkpoint: u64) -> String {
        format!("{}{}-{checkpoint}", self.state_folders(chosen), self.number)
    }

    /// What those of all starts of this job begin with.
    pub fn state_folders(self, chosen: &str) -> String {
        format!("{chosen}/{}-", self.job_id)
    }
}

/// Which start of the job has begun a checkpoint or savepoint, and its number, by a key below its folder; `None` = a
/// person has named the folder.
pub fn begun(key: &str) -> Option<(u64, u64)> {
    let folder = key.split('/').nth(1)?;
    // Once the start did not stand in front.
    let (start, number) = folder.split_once('-').unwrap_or(("0", folder));
    start.parse().ok().zip(number.parse().ok())
}

pub const CHECKPOINTS: &str = "checkpoints";

/// Savepoints whose place nobody chose: a folder for each.
pub const SAVEPOINTS: &str = "savepoints";

/// Where the files of a checkpoint go.
#[derive(Clone)]
pub struct Place {
    pub store: Store,
    /// In the store: the manifest's.
    pub folder: String,
    /// Of the files of state: the same, or one in it.
    pub state_folder: String,
}

impl Place {
    /// A folder that nobody else writes to.
    pub fn own(store: Store, folder: String) -> Self {
        Self { store, state_folder: folder.clone(), folder }
    }
}

/// The manifest of a checkpoint whose files are in `folder`.
pub fn manifest(plan: &Plan, incarnation: Incarnation, complete: &Complete, folder: &str, now: Timestamp) -> Manifest {
    let (job_id, number) = (incarnation.job_id, incarnation.number);
    let mut manifest = Manifest::new(&plan.name, job_id, number, complete.checkpoint, plan.max_parallelism);
    manifest.created = now.0;
    manifest.kind = if complete.savepoint.is_some() { Kind::Savepoint } else { Kind::Checkpoint };
    manifest.is_finished = complete.is_finished;
    manifest.stops = complete.stops;
    manifest.nodes = plan.nodes.iter().map(|node| node_record(plan, node, complete, folder)).collect();
    manifest
}

fn node_record(plan: &Plan, node: &Node, complete: &Complete, folder: &str) -> NodeRecord {
    let members: Vec<&MemberRecord> = complete.members.iter().filter(|member| member.uid == node.uid).collect();
    let watermark = members.iter().map(|member| member.progress.input).min().filter(|at| *at > Timestamp::MIN);
    let latest = members.iter().filter_map(|member| member.progress.latest).min().filter(|at| *at > Timestamp::MIN);
    // A split that had ended before the job was restored is known to one slot, but a slot more does no harm.
    let splits: BTreeMap<_, _> = members.iter().flat_map(|member| &member.splits).map(|s| (&s.split.name, s)).collect();
    let chains = complete.chains.iter().filter(|((uid, _), chain)| *uid == node.uid && !chain.is_empty());
    NodeRecord {
        uid: node.uid.clone(),
        shape: shape(node),
        watermark: watermark.map(|at| at.0),
        ahead: ahead(plan, node, &members),
        latest: latest.map(|at| at.0),
        splits: splits.into_values().cloned().collect(),
        in_flight: in_flight(node, &members),
        slots: chains.map(|((_, slot), chain)| slot_record(*slot, chain, folder)).collect(),
        committables: complete.committables.get(&node.uid).cloned().unwrap_or_default(),
    }
}

/// Where the slots of a window were not equally far, those that were further than the least.
fn ahead(plan: &Plan, node: &Node, members: &[&MemberRecord]) -> Vec<Ahead> {
    let least = members.iter().map(|member| member.progress.input).min();
    let (NodeKind::Window(_), Some(least)) = (&node.kind, least) else { return Vec::new() };
    let slots = members.iter().filter(|member| member.progress.input > least).map(|member| Ahead {
        groups: groups_of(member.slot, node.parallelism, plan.max_parallelism),
        watermark: member.progress.input.0,
    });
    slots.chain(members.iter().flat_map(|member| member.ahead.iter().cloned())).collect()
}

fn in_flight(node: &Node, members: &[&MemberRecord]) -> Option<InFlightRecord> {
    let events = members.iter().map(|member| member.in_flight).sum();
    (events > 0).then(|| InFlightRecord { events, columns: intake(node) })
}

/// The columns that a node reads.
pub fn intake(node: &Node) -> Vec<FieldRecord> {
    node.input_schema.fields().iter().map(FieldRecord::from).collect()
}

fn slot_record(slot: Slot, chain: &Chain, folder: &str) -> SlotRecord {
    let record = |file: &StateFile| FileRecord { path: relative(&file.key, folder), bytes: file.bytes };
    let native_file = |(name, native): (&String, &NativeFile)| NativeFileRecord {
        name: name.clone(),
        file: record(&native.file),
        checksum: native.checksum.map(|checksum| format!("{checksum:016x}")),
    };
    let native = chain.native.as_ref().map(|native| NativeRecord {
        form: native.form,
        groups: native.groups.clone(),
        files: native.files.iter().map(native_file).collect(),
    });
    SlotRecord { slot: slot.0, files: chain.files.iter().map(record).collect(), native }
}

/// A key of the folder, or of one beside it, as a path from the folder.
fn relative(key: &str, folder: &str) -> String {
    let beside = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    match (key.strip_prefix(folder), key.strip_prefix(beside)) {
        (Some(inside), _) if inside.starts_with('/') => inside[1..].to_owned(),
        (_, Some(other)) if other.starts_with('/') => format!("..{other}"),
        _ => format!("../../{key}"),
    }
}

/// What a node is, as far as its state depends on it.
pub fn shape(node: &Node) -> Shape {
    match &node.kind {
        NodeKind::Source(source) => Shape::Source { input: Some(input_record(&source.connector)) },
        NodeKind::Sink(_) => Shape::Sink,
        NodeKind::Process(process) => Shape::Process {
            plugin: process.plugin.digest.as_str().to_owned(),
            operator: process.plugin.operator.clone(),
            key: process.key.iter().flatten().map(|i| FieldRecord::from(&node.input_schema.fields()[*i])).collect(),
            states: process.descriptor.states.iter().map(StateRecord::from).collect(),
            timers: process.descriptor.timers.iter().map(|timer| timer.name.clone()).collect(),
        },
        NodeKind::Window(window) => Shape::Window {
            key: window.key.iter().map(|i| FieldRecord::from(&node.input_schema.fields()[*i])).collect(),
            window: describe_window(window),
            aggregates: window.aggregates.iter().map(|aggregate| aggregate_record(aggregate, node)).collect(),
        },
    }
}

/// What a source reads.
pub fn input_record(connector: &SourceConnector) -> InputRecord {
    match connector {
        SourceConnector::File(file) => InputRecord::File {
            path: file.path.to_string(),
            follow: file.follow,
            parquet: matches!(file.format, Format::Parquet),
        },
        SourceConnector::Generator(_) => InputRecord::Generator,
        SourceConnector::Kafka(kafka) => InputRecord::Kafka { topics: kafka.topics.clone(), bounded: kafka.bounded },
        SourceConnector::Stdin { .. } => InputRecord::Stdin,
    }
}

fn describe_window(plan: &WindowPlan) -> String {
    let window = plan.window;
    format!("{} us every {} us from {} us", window.size.0, window.slide.0, window.offset.0)
}

/// What `describe_window` wrote.
pub fn parse_window(text: &str) -> Option<Window> {
    let (size, rest) = text.split_once(" us every ")?;
    let (slide, rest) = rest.split_once(" us from ")?;
    let micros = |text: &str| text.parse().ok().map(Micros);
    let window = Window { size: micros(size)?, slide: micros(slide)?, offset: micros(rest.strip_suffix(" us")?)? };
    (window.size.0 > 0 && window.slide.0 > 0).then_some(window)
}

/// What `aggregate_record` wrote of an aggregate's accumulators.
pub fn parse_accumulator(record: &AggregateRecord) -> Option<Accumulator> {
    let text = record.function.as_str();
    if text == "count" {
        return Some(Accumulator::Count);
    }
    let data_type = |text: &str| Some(parse_field(&record.name, text.strip_suffix(')')?).ok()?.data_type);
    if let Some((accumulator, _version)) = parse_plugin_accumulator(record) {
        return Some(Accumulator::Plugin(accumulator));
    }
    match text.split_once('(')? {
        ("sum" | "avg", rest) => data_type(rest).map(Accumulator::Sum),
        ("min" | "max", rest) => data_type(rest).map(Accumulator::Best),
        _ => None,
    }
}

/// The same of a plugin's: their type and version.
pub fn parse_plugin_accumulator(record: &AggregateRecord) -> Option<(Field, u32)> {
    let (_operator, state) = record.function.split_once(": ")?;
    let (accumulator, version) = state.rsplit_once(" of version ")?;
    Some((parse_field(&record.name, accumulator).ok()?, version.parse().ok()?))
}

fn aggregate_record(aggregate: &AggregatePlan, node: &Node) -> AggregateRecord {
    let column = |i: usize| &node.input_schema.fields()[i];
    match aggregate {
        AggregatePlan::Native { name, function } => {
            let function = match function {
                NativeAggregate::Count { .. } => "count".to_owned(),
                NativeAggregate::Sum { column: i } => format!("sum({})", column(*i).data_type),
                NativeAggregate::Avg { column: i } => format!("avg({})", column(*i).data_type),
                NativeAggregate::Min { column: i } => format!("min({})", column(*i).data_type),
                NativeAggregate::Max { column: i } => format!("max({})", column(*i).data_type),
            };
            AggregateRecord { name: name.clone(), function, defaults: String::new() }
        }
        AggregatePlan::Plugin { name, plugin, descriptor } => {
            let accumulator = &descriptor.states[0];
            let data_type = FieldRecord::from(&accumulator.value).data_type;
            let function = format!("{}: {data_type} of version {}", plugin.operator, accumulator.version);
            AggregateRecord { name: name.clone(), function, defaults: hex::encode(&accumulator.defaults) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::DataType;

    #[test]
    fn windows_and_aggregates_are_read_as_they_are_written() {
        let window = Window { size: Micros(60), slide: Micros(10), offset: Micros(-5) };
        let plan = WindowPlan { key: vec![], window, allowed_lateness: Micros(0), aggregates: vec![] };
        assert_eq!(parse_window(&describe_window(&plan)), Some(window));
        let parse = |function: &str| {
            let defaults = String::new();
            parse_accumulator(&AggregateRecord { name: "a".to_owned(), function: function.to_owned(), defaults })
        };
        assert_eq!(parse("count"), Some(Accumulator::Count));
        assert_eq!(parse("avg(decimal(10, 2))"), Some(Accumulator::Sum(DataType::Decimal { precision: 10, scale: 2 })));
        assert_eq!(parse("max(text)"), Some(Accumulator::Best(DataType::Text)));
        let record = Field::new("n", DataType::U64);
        let plugin = Accumulator::Plugin(Field::new("a", DataType::Struct(vec![record])));
        assert_eq!(parse("quality: struct<n: u64> of version 3"), Some(plugin));
        assert_eq!(parse("median(text)"), None);
    }

    #[test]
    fn files_are_named_as_seen_from_their_manifest() {
        assert_eq!(relative("checkpoints/1-2/a.state", "checkpoints/1-2"), "a.state");
        assert_eq!(relative("checkpoints/1-1/a.state", "checkpoints/1-2"), "../1-1/a.state");
        assert_eq!(relative("checkpoints/1-23/a.state", "checkpoints/1-2"), "../1-23/a.state");
        assert_eq!(relative("else/a.state", "checkpoints/1-2"), "../../else/a.state");
    }
}
