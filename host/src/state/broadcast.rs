//! Broadcast state: maps of an operator's slots, made of an input that every slot gets whole (as Flink's broadcast state
//! pattern). So all slots have the same; a checkpoint holds one copy, and every slot starts from it. Always in memory.

use std::ops::Bound;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key_group::{KeyGroup, KeyHash};

use super::entries::behind;
use super::memory::MemoryState;
use super::snapshot::{ChunkId, ChunkSink, ChunkSource, Content, Frozen, NativeFiles, NativeSnapshot, Take};
use super::{FormerState, KeyedState, StateLayout};

/// Where a checkpoint has the copy: in a key group of the first slot.
pub const COPY_GROUP: KeyGroup = KeyGroup(0);

pub struct BroadcastState {
    /// Entries of the empty key.
    maps: MemoryState,
    /// Keys and values.
    bytes: usize,
    bytes_max: usize,
    writes_copy: bool,
}

impl BroadcastState {
    /// `layouts` are those of all states of the operator. One slot of the operator `writes_copy`.
    pub fn new(layouts: impl IntoIterator<Item = StateLayout>, bytes_max: usize, writes_copy: bool) -> Self {
        Self { maps: MemoryState::new(1, layouts), bytes: 0, bytes_max, writes_copy }
    }

    pub fn maps(&mut self) -> &mut dyn KeyedState {
        &mut self.maps
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// After a change of the maps: what their keys and values take now.
    pub fn set_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// What the keys and values at addresses that begin with `prefix` take.
    pub fn bytes_behind(&mut self, prefix: &[u8]) -> Result<usize, Fault> {
        let (mut bytes, behind) = (0, behind(prefix));
        let end = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.maps.scan_entries(KeyHash::of(&[]), (Bound::Included(prefix), end), &mut |address, value| {
            bytes += address.len() + value.len();
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }

    /// The copy for a checkpoint, from the slot that writes it.
    pub fn snapshot(&mut self, barrier: &Barrier) -> Result<Option<Box<dyn Frozen>>, Fault> {
        // The others make one too: then they need not remember what has gone since.
        let frozen = self.maps.snapshot(barrier)?;
        Ok(if self.writes_copy { Some(Box::new(Copy(frozen))) } else { None })
    }

    /// Takes over the copy, as `KeyedState::restore` does.
    pub fn restore(&mut self, chunks: &mut dyn ChunkSource, states: &mut [FormerState]) -> Result<(), Fault> {
        self.maps.restore(&mut OfCopy(chunks), states)?;
        self.bytes = self.bytes_behind(&[])?;
        Ok(())
    }
}

/// Entries as they go into the copy.
struct Copy(Box<dyn Frozen>);

impl Frozen for Copy {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        self.0.write(&mut IntoCopy(chunks))
    }
}

struct IntoCopy<'a>(&'a mut dyn ChunkSink);

impl ChunkSink for IntoCopy<'_> {
    fn put(&mut self, id: ChunkId, entries: u32, payload: &[u8]) -> Result<(), Fault> {
        let id = ChunkId { group: COPY_GROUP, content: Content::Broadcast, number: id.number };
        self.0.put(id, entries, payload)
    }

    fn put_files(&mut self, snapshot: &NativeSnapshot<'_>) -> Result<(), Fault> {
        self.0.put_files(snapshot)
    }
}

/// The copy as entries, and nothing else.
struct OfCopy<'a>(&'a mut dyn ChunkSource);

impl ChunkSource for OfCopy<'_> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        match content {
            Content::Entries => self.0.read(Content::Broadcast, take),
            _ => Ok(()),
        }
    }
}

/// A checkpoint as a slot sees it that needs the copy, whoever wrote it.
pub struct WithCopy<S> {
    /// Of the slot's key groups.
    pub own: S,
    /// Of `COPY_GROUP`.
    pub copy: S,
}

impl<S: ChunkSource> ChunkSource for WithCopy<S> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        match content {
            Content::Broadcast => self.copy.read(content, take),
            _ => self.own.read(content, take),
        }
    }

    fn native(&self) -> Vec<&dyn NativeFiles> {
        self.own.native()
    }
}
