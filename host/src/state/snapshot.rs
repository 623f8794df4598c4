//! State on its way into a checkpoint, and out of one again: in chunks, which are what changes together. A chunk belongs
//! to one key group, so that state can be cut anew for any number of slots.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use crate::model::fault::Fault;
use crate::model::key_group::KeyGroup;

/// What a chunk holds entries of. The numbers are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Content {
    /// Values by key.
    Rows = 1,
    EventTimers = 2,
    ProcessingTimers = 3,
    /// Accumulators of a window's panes.
    Panes = 4,
    /// Entries of lists and maps, by key and place.
    Entries = 5,
    /// Events that had not reached an operator, by the number of the checkpoint.
    InFlight = 6,
    /// Entries of broadcast state, once for all slots.
    Broadcast = 7,
}

impl Content {
    pub fn from_code(code: u8) -> Option<Self> {
        use Content::*;
        [Rows, EventTimers, ProcessingTimers, Panes, Entries, InFlight, Broadcast]
            .into_iter()
            .find(|content| *content as u8 == code)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId {
    pub group: KeyGroup,
    pub content: Content,
    /// Among those of the same content: the number of a page or of a pane.
    pub number: u64,
}

/// State as it was at a barrier: shared with the operator, which goes on, and written by another thread.
pub trait Frozen: Send {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault>;
}

/// Where the chunks of a snapshot go.
pub trait ChunkSink {
    /// A chunk of the base with the same id is replaced; an empty one is gone.
    fn put(&mut self, id: ChunkId, entries: u32, payload: &[u8]) -> Result<(), Fault>;

    /// Keeps files of a backend's own, which stand for chunks; once a snapshot.
    fn put_files(&mut self, snapshot: &NativeSnapshot<'_>) -> Result<(), Fault>;
}

/// Files of a backend's own that do not change any more. They are gone when the snapshot has been written.
#[derive(Debug)]
pub struct NativeSnapshot<'a> {
    pub form: NativeForm,
    /// The key groups of which there is state in them.
    pub groups: Range<u16>,
    pub folder: &'a Path,
    /// Names in the folder.
    pub files: BTreeSet<String>,
    /// Those that may come in later snapshots of this operator and slot too, and of what is restored from this one: by
    /// the same name, and with the same bytes.
    pub lasting: BTreeSet<String>,
}

/// Whose files they are, and of which version. Durable, as `form` in manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NativeForm {
    /// An instance of RocksDB with rows, entries and timers, or panes, in it as `storage/rocksdb` lays them out.
    RocksDb1,
}

impl NativeForm {
    /// Whether a file of this name is never written to once it is there, so that checkpoints and whoever goes on from
    /// them may share it by links.
    pub fn never_changes(self, name: &str) -> bool {
        match self {
            Self::RocksDb1 => name.ends_with(".sst"),
        }
    }
}

/// The files of a backend's own that one slot left in a checkpoint.
pub trait NativeFiles: Send {
    fn form(&self) -> NativeForm;

    /// The key groups of which there is state in them.
    fn groups(&self) -> Range<u16>;

    /// Puts them into `folder`, which is empty and theirs. They may be shared with the checkpoint: whoever opens them
    /// does not write into those that never change.
    fn fetch(&self, folder: &Path) -> Result<(), Fault>;
}

/// The chunks of one operator in a checkpoint: those of the key groups that the reader owns.
pub trait ChunkSource: Send {
    /// Calls `take` with each chunk of this content that is not empty.
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault>;

    /// What stands in backends' own files, by slot. A backend that does not know their form must refuse them.
    fn native(&self) -> Vec<&dyn NativeFiles> {
        Vec::new()
    }
}

/// Memory cannot take over files of another backend.
pub fn refuse_native(chunks: &dyn ChunkSource) -> Result<(), Fault> {
    if chunks.native().is_empty() {
        return Ok(());
    }
    Err(Fault::unrestorable(
        "the checkpoint holds state in RocksDB's own files, which the memory backend cannot read: set `backend` of \
         `[state]` to \"rocksdb\", or start from a checkpoint that was made with `incremental = false`",
    ))
}

/// A backend's store of timers numbers its chunks from here; below are those of the timers in memory.
pub const STORED_TIMERS: u64 = 1 << 32;

/// What is done with each chunk.
pub type Take<'a> = dyn FnMut(ChunkId, &[u8]) -> Result<(), Fault> + 'a;

/// The entries of a chunk: a key and a value each, their lengths (u32, little-endian) before them.
pub fn put_entry(payload: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    payload.extend_from_slice(&(key.len() as u32).to_le_bytes());
    payload.extend_from_slice(&(value.len() as u32).to_le_bytes());
    payload.extend_from_slice(key);
    payload.extend_from_slice(value);
}

/// Reads what `put_entry` wrote.
pub fn entries(payload: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Fault>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = take_entry(rest);
        rest = entry.map_or(&[], |(_, _, rest)| rest);
        Some(entry.map(|(key, value, _)| (key, value)).ok_or_else(|| cut_short("an entry")))
    })
}

fn take_entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_bytes, bytes) = bytes.split_first_chunk::<4>()?;
    let (value_bytes, bytes) = bytes.split_first_chunk::<4>()?;
    let (key, bytes) = bytes.split_at_checked(u32::from_le_bytes(*key_bytes) as usize)?;
    let (value, bytes) = bytes.split_at_checked(u32::from_le_bytes(*value_bytes) as usize)?;
    Some((key, value, bytes))
}

/// A chunk whose checksum is right and whose content is not: it was written by a broken program.
pub fn cut_short(what: &str) -> Fault {
    Fault::unrestorable(format!("{what} in a chunk of state is cut short or not of this version"))
}

#[cfg(test)]
pub mod testing {
    use std::collections::BTreeMap;

    use super::*;

    /// The chunks of one operator after one or several snapshots, each on the base of the one before.
    #[derive(Debug, Default)]
    pub struct Chunks(pub BTreeMap<ChunkId, Vec<u8>>);

    impl ChunkSink for Chunks {
        fn put(&mut self, id: ChunkId, _: u32, payload: &[u8]) -> Result<(), Fault> {
            self.0.insert(id, payload.to_vec());
            Ok(())
        }

        fn put_files(&mut self, snapshot: &NativeSnapshot<'_>) -> Result<(), Fault> {
            panic!("{snapshot:?} where chunks were expected")
        }
    }

    impl ChunkSource for Chunks {
        fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
            let mut wanted = self.0.iter().filter(|(id, payload)| id.content == content && !payload.is_empty());
            wanted.try_for_each(|(id, payload)| take(*id, payload))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_back(pairs in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let mut payload = Vec::new();
            pairs.iter().for_each(|(key, value)| put_entry(&mut payload, key, value));
            let read: Vec<_> = entries(&payload).map(|entry| entry.unwrap()).collect();
            prop_assert!(read.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).eq(pairs));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            entries(&bytes).take(200).for_each(drop);
        }
    }
}
