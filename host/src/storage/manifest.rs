//! The manifest of a checkpoint: everything that it consists of. JSON, written last, after every file that it names is
//! durable.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::dataplane::sink_writer::Committable;
use crate::dataplane::snapshot::{Ahead, SourceSplit};
use crate::model::checkpoint::CheckpointId;
use crate::model::decision::ManifestRef;
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::key::KEY_ENCODING_VERSION;
use crate::model::schema::Field;
use crate::model::type_name::parse_field;
use crate::plan::descriptor::{StateInfo, StateKind};
use crate::state::StateLayout;
use crate::state::expiry::STAMP_BYTES;
use crate::state::snapshot::NativeForm;

use crate::store::{Created, Store};

/// The name of a manifest within its folder.
pub const MANIFEST: &str = "manifest.json";
/// Stands beside the manifest of a savepoint until it is decided on; empty.
pub const UNDECIDED: &str = "UNDECIDED";

/// What this program writes. It reads every version up to it.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of wasmill that wrote it.
    pub wasmill: String,
    pub job: String,
    /// What makes this job different from another of its name, and from a fork of it.
    pub job_id: Uuid,
    /// Which start of the job made the checkpoint.
    pub incarnation: u64,
    pub checkpoint: u64,
    pub kind: Kind,
    /// Microseconds since 1970.
    pub created: i64,
    pub key_encoding: u16,
    pub max_parallelism: u16,
    /// Every source has been read to its end, and nothing follows.
    pub is_finished: bool,
    /// Nothing was read after it: the job was stopped with it, or had finished.
    #[serde(default)]
    pub stops: bool,
    pub nodes: Vec<NodeRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The system's, deleted when there are newer ones.
    Checkpoint,
    /// The user's: all of its files stand in its own folder.
    Savepoint,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub uid: Uid,
    #[serde(flatten)]
    pub shape: Shape,
    /// Microseconds since 1970; the smallest of the slots. Absent: nothing was said yet, or the node has no input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
    /// Key groups that were further than `watermark`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Ahead>,
    /// The largest time of its output, where the node gives that times of its own; the smallest of the slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SourceSplit>,
    /// Absent: the barrier had waited for all that came before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlightRecord>,
    /// By slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<SlotRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub committables: Vec<Committable>,
}

/// Events that had left for a node and not reached it, in its slots' files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightRecord {
    pub events: u64,
    pub columns: Vec<FieldRecord>,
}

/// What a node is, as far as its state depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Shape {
    Source {
        /// Absent: an older wasmill wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<InputRecord>,
    },
    Process {
        plugin: String,
        operator: String,
        key: Vec<FieldRecord>,
        states: Vec<StateRecord>,
        timers: Vec<String>,
    },
    /// `aggregates` are written as the job file writes them.
    Window {
        key: Vec<FieldRecord>,
        window: String,
        aggregates: Vec<AggregateRecord>,
    },
    Sink,
}

/// What a source reads, as far as its positions depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "connector", rename_all = "kebab-case")]
pub enum InputRecord {
    File {
        path: String,
        follow: bool,
        /// Its splits are row groups.
        parquet: bool,
    },
    Generator,
    /// Names and patterns of topics.
    Kafka {
        topics: Vec<String>,
        bounded: bool,
    },
    Stdin,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    #[serde(flatten)]
    pub value: FieldRecord,
    pub state_kind: String,
    /// The type of a map's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// The clock by which it expires: then each value and entry has its time before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    pub version: u32,
    /// An encoded value with the defaults of its fields, hexadecimal.
    pub defaults: String,
}

impl From<&StateInfo> for StateRecord {
    fn from(state: &StateInfo) -> Self {
        let value = FieldRecord { name: state.name.clone(), ..FieldRecord::from(&state.value) };
        Self {
            value,
            state_kind: state.kind.to_string(),
            key_type: state.key.as_ref().map(|key| FieldRecord::from(key).data_type),
            expires_in: state.time_to_live.map(|time_to_live| time_to_live.clock.to_string()),
            version: state.version,
            defaults: hex::encode(&state.defaults),
        }
    }
}

impl StateRecord {
    /// Of a map's keys.
    pub fn key(&self) -> Result<Option<Field>, Fault> {
        let key = |data_type: &String| FieldRecord { name: self.value.name.clone(), data_type: data_type.clone() };
        self.key_type.as_ref().map(|data_type| key(data_type).parse()).transpose()
    }

    pub fn kind(&self) -> Result<StateKind, Fault> {
        StateKind::parse(&self.state_kind).ok_or_else(|| {
            let (name, kind) = (&self.value.name, &self.state_kind);
            Fault::unrestorable(format!("the manifest has a state `{name}` of no known kind: {kind}"))
        })
    }

    /// How it is kept.
    pub fn layout(&self) -> Result<StateLayout, Fault> {
        let (value, kind) = (self.value.parse()?, self.kind()?);
        let expires = self.expires_in.is_some();
        if !kind.is_value_like() {
            return Ok(StateLayout::Entries { expires });
        }
        let width = if value.nullable { None } else { value.data_type.fixed_width() };
        let time = if expires { STAMP_BYTES } else { 0 };
        Ok(StateLayout::Value { width: width.map(|width| width + time), expires })
    }
}

/// An aggregate of a window, and what its accumulators depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateRecord {
    pub name: String,
    /// Such as `sum(i64)`, or the plugin's operator with the type and version of its accumulator.
    pub function: String,
    /// An encoded accumulator with the defaults of its fields, hexadecimal; of a plugin's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub defaults: String,
}

/// A name and a type, written as job files write types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRecord {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
}

impl From<&Field> for FieldRecord {
    fn from(field: &Field) -> Self {
        let mark = if field.nullable { "?" } else { "" };
        Self { name: field.name.clone(), data_type: format!("{}{mark}", field.data_type) }
    }
}

impl FieldRecord {
    pub fn parse(&self) -> Result<Field, Fault> {
        parse_field(&self.name, &self.data_type).map_err(|error| {
            Fault::unrestorable(format!("the manifest has a field `{}` of no known type: {error}", self.name))
        })
    }
}

/// The state that one slot had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    pub slot: u16,
    /// From the oldest to the newest: chunks of a later one replace those of an earlier one.
    pub files: Vec<FileRecord>,
    /// Of a backend's own, instead of rows in `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeRecord>,
}

/// The files of a backend's own that one slot left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeRecord {
    pub form: NativeForm,
    /// The key groups that there is state of.
    pub groups: Range<u16>,
    pub files: Vec<NativeFileRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeFileRecord {
    /// As the backend calls it.
    pub name: String,
    #[serde(flatten)]
    pub file: FileRecord,
    /// XXH3-64, hexadecimal; absent for a file that was linked, and so not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Relative to the manifest's folder.
    pub path: String,
    pub bytes: u64,
}

impl Manifest {
    pub fn new(job: &str, job_id: Uuid, incarnation: u64, checkpoint: CheckpointId, max_parallelism: u16) -> Self {
        Self {
            format: FORMAT,
            wasmill: env!("CARGO_PKG_VERSION").to_owned(),
            job: job.to_owned(),
            job_id,
            incarnation,
            checkpoint: checkpoint.0,
            kind: Kind::Checkpoint,
            created: 0,
            key_encoding: KEY_ENCODING_VERSION,
            max_parallelism,
            is_finished: false,
            stops: false,
            nodes: Vec::new(),
        }
    }

    pub fn node(&self, uid: &Uid) -> Option<&NodeRecord> {
        self.nodes.iter().find(|node| node.uid == *uid)
    }

    /// Every file of state that it names.
    pub fn files(&self) -> impl Iterator<Item = &FileRecord> {
        self.nodes.iter().flat_map(|node| &node.slots).flat_map(|slot| {
            let native = slot.native.iter().flat_map(|native| &native.files);
            slot.files.iter().chain(native.map(|file| &file.file))
        })
    }

    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    /// Writes it into `folder`, where nothing else may stand in its place. After an error, it may be tried again.
    pub fn write(&self, store: &Store, folder: &str) -> Result<ManifestRef, Fault> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Fault::internal(format!("a manifest cannot be written as JSON: {error}")))?;
        let path = format!("{folder}/{MANIFEST}");
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let put = store.put_new(&path, bytes.clone());
        fail_point::reach("manifest.put_unknown");
        // A put that was answered with an error, or that the client repeated, may have arrived.
        if put != Ok(Created::Yes) && store.get(&path)?.is_none_or(|found| found != bytes) {
            put?;
            return Err(Fault::unavailable(format!(
                "`{}` is there already: another host runs this job",
                store.name_of(&path)
            )));
        }
        Ok(ManifestRef { path, sha256 })
    }

    /// Reads and checks the manifest that a decision names.
    pub fn read(store: &Store, reference: &ManifestRef) -> Result<Self, Fault> {
        let name = store.name_of(&reference.path);
        let Some(bytes) = store.get(&reference.path)? else {
            return Err(Fault::unavailable(format!(
                "the manifest `{name}`, which the job is to start from, is gone: if it was a savepoint's and has been \
                 moved, say where to with `--from`"
            )));
        };
        if hex::encode(Sha256::digest(&bytes)) != reference.sha256 {
            return Err(Fault::unrestorable(format!(
                "the manifest `{name}` is not the one that was decided on: its digest is not {}",
                reference.sha256
            )));
        }
        Self::parse(&bytes, &name)
    }

    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |error| Fault::unrestorable(format!("`{name}` is not the manifest of a checkpoint: {error}"));
        let version: Version = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version.format == 0 || version.format > FORMAT {
            return Err(Fault::unrestorable(format!(
                "the manifest `{name}` is of format {}, and this wasmill {} reads formats up to {FORMAT}: use the \
                 wasmill that wrote it, or a newer one",
                version.format,
                env!("CARGO_PKG_VERSION")
            )));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        if manifest.key_encoding != KEY_ENCODING_VERSION {
            return Err(Fault::unrestorable(format!(
                "the manifest `{name}` has keys in encoding {}, and this wasmill reads encoding {KEY_ENCODING_VERSION}",
                manifest.key_encoding
            )));
        }
        Ok(manifest)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "checkpoint",
            Self::Savepoint => "savepoint",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_an_unknown_format_is_named() {
        let error = Manifest::parse(br#"{"format": 2, "anything": []}"#, "m").unwrap_err();
        assert!(error.message.contains("format 2") && error.message.contains("up to 1"), "{error}");
        assert!(Manifest::parse(b"{}", "m").unwrap_err().message.contains("not the manifest"));
    }
}
