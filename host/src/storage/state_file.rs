//! Files of state: chunks one after the other, then their index, then a footer.
//!
//! ```text
//! magic (8)  payload*  index entry*  footer
//! index entry: group u16 · content u8 · 0 u8 · entries u32 · number u64 · offset u64 · bytes u64 · xxh3-64 of payload
//! footer:      offset of index u64 · index entries u64 · xxh3-64 of index · version u32 · magic (8)
//! ```
//! Numbers are little-endian. An entry of no bytes says that the chunk of an older file is gone.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::fault::Fault;
use crate::model::key_group::KeyGroup;
use crate::state::snapshot::{ChunkId, ChunkSink, ChunkSource, Content, NativeFiles, NativeSnapshot, Take};

use crate::store::{ObjectWriter, Store};

use super::native_files::StoredFiles;

const MAGIC: &[u8; 8] = b"WASMILLS";
const VERSION: u32 = 1;
const ENTRY_BYTES: usize = 40;
const FOOTER_BYTES: usize = 36;

/// What is read at once: chunks that stand side by side.
const READ_BYTES: u64 = 8 << 20;

/// Payloads are gathered into writes of this size.
const BUFFER_BYTES: usize = 1 << 20;

pub struct StateFileWriter {
    object: ObjectWriter,
    buffer: Vec<u8>,
    /// Where the next payload goes.
    offset: u64,
    index: Vec<u8>,
}

impl StateFileWriter {
    pub fn create(store: &Store, key: &str) -> Result<Self, Fault> {
        let object = store.writer(key)?;
        Ok(Self { object, buffer: MAGIC.to_vec(), offset: MAGIC.len() as u64, index: Vec::new() })
    }

    /// Whether nothing was put into it.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Returns how long the file is.
    pub fn finish(mut self) -> Result<u64, Fault> {
        let checksum = xxh3_64(&self.index);
        let entries = (self.index.len() / ENTRY_BYTES) as u64;
        self.buffer.extend_from_slice(&self.index);
        self.buffer.extend_from_slice(&self.offset.to_le_bytes());
        self.buffer.extend_from_slice(&entries.to_le_bytes());
        self.buffer.extend_from_slice(&checksum.to_le_bytes());
        self.buffer.extend_from_slice(&VERSION.to_le_bytes());
        self.buffer.extend_from_slice(MAGIC);
        self.object.write(&self.buffer)?;
        self.object.finish()
    }
}

impl ChunkSink for StateFileWriter {
    fn put(&mut self, id: ChunkId, entries: u32, payload: &[u8]) -> Result<(), Fault> {
        self.index.extend_from_slice(&id.group.0.to_le_bytes());
        self.index.extend_from_slice(&[id.content as u8, 0]);
        self.index.extend_from_slice(&entries.to_le_bytes());
        self.index.extend_from_slice(&id.number.to_le_bytes());
        self.index.extend_from_slice(&self.offset.to_le_bytes());
        self.index.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        self.index.extend_from_slice(&xxh3_64(payload).to_le_bytes());
        self.offset += payload.len() as u64;
        self.buffer.extend_from_slice(payload);
        if self.buffer.len() >= BUFFER_BYTES {
            self.object.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn put_files(&mut self, _: &NativeSnapshot<'_>) -> Result<(), Fault> {
        Err(Fault::internal("a file of state holds chunks, not files of a backend"))
    }
}

/// An entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub id: ChunkId,
    pub entries: u32,
    pub offset: u64,
    pub bytes: u64,
    pub checksum: u64,
}

impl Placed {
    fn parse(entry: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let u64_at = |at: usize| Some(u64::from_le_bytes(*entry.get(at..)?.first_chunk()?));
        let group = KeyGroup(u16::from_le_bytes(*entry.first_chunk()?));
        let content = Content::from_code(entry[2])?;
        Some(Self {
            id: ChunkId { group, content, number: u64_at(8)? },
            entries: u32::from_le_bytes(*entry.get(4..)?.first_chunk()?),
            offset: u64_at(16)?,
            bytes: u64_at(24)?,
            checksum: u64_at(32)?,
        })
    }
}

/// The index of a file of state.
pub fn read_index(store: &Store, key: &str) -> Result<Vec<Placed>, Fault> {
    let broken = |what: &str| broken(store, key, what);
    let bytes = store.bytes_of(key)?;
    let Some(footer_at) = bytes.checked_sub(FOOTER_BYTES as u64).filter(|at| *at >= MAGIC.len() as u64) else {
        return Err(broken("it is too short"));
    };
    let footer = store.get_range(key, footer_at..bytes)?;
    let number = |at: usize| footer.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |n| u64::from_le_bytes(*n));
    if !footer.ends_with(MAGIC) {
        return Err(broken("it does not end like a file of state"));
    }
    let version = u32::from_le_bytes(*footer[24..].first_chunk().unwrap_or(&[0; 4]));
    if version != VERSION {
        return Err(broken(&format!("it is of version {version}, and this wasmill reads version {VERSION}")));
    }
    let (index_at, entries) = (number(0), number(8));
    if entries.checked_mul(ENTRY_BYTES as u64).and_then(|bytes| bytes.checked_add(index_at)) != Some(footer_at) {
        return Err(broken("its index is not where its footer says"));
    }
    let index = store.get_range(key, index_at..footer_at)?;
    if xxh3_64(&index) != number(16) {
        return Err(broken("the checksum of its index is wrong"));
    }
    let (entries, _) = index.as_chunks::<ENTRY_BYTES>();
    let placed =
        entries.iter().map(|entry| Placed::parse(entry).ok_or_else(|| broken("its index has a strange entry")));
    placed.collect()
}

fn broken(store: &Store, key: &str, what: &str) -> Fault {
    Fault::unrestorable(format!("the file of state `{}` is broken: {what}", store.name_of(key)))
}

/// The chunks of one operator in a slot of a checkpoint: files from oldest to newest, each over those before it.
pub struct StateFiles {
    store: Store,
    files: Vec<String>,
    /// Of the groups that are wanted: the newest of each chunk, and the file that it is in.
    chunks: Vec<(usize, Placed)>,
}

impl StateFiles {
    pub fn open(store: &Store, files: &[String], groups: Range<u16>) -> Result<Self, Fault> {
        let mut newest: HashMap<ChunkId, (usize, Placed)> = HashMap::default();
        for (file, key) in files.iter().enumerate() {
            let wanted = read_index(store, key)?.into_iter().filter(|placed| groups.contains(&placed.id.group.0));
            newest.extend(wanted.map(|placed| (placed.id, (file, placed))));
        }
        let mut chunks: Vec<_> = newest.into_values().filter(|(_, placed)| placed.bytes > 0).collect();
        chunks.sort_unstable_by_key(|(file, placed)| (*file, placed.offset));
        Ok(Self { store: store.clone(), files: files.to_vec(), chunks })
    }

    /// The chunks that count.
    pub fn placed(&self) -> impl Iterator<Item = &Placed> {
        self.chunks.iter().map(|(_, placed)| placed)
    }

    /// How many entries of this content there are.
    pub fn entries(&self, content: Content) -> u64 {
        let chunks = self.chunks.iter().filter(|(_, placed)| placed.id.content == content);
        chunks.map(|(_, placed)| u64::from(placed.entries)).sum()
    }
}

impl ChunkSource for StateFiles {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        let wanted: Vec<_> = self.chunks.iter().filter(|(_, placed)| placed.id.content == content).collect();
        let mut rest = &wanted[..];
        while let Some((file, first)) = rest.first() {
            let together = rest.iter().take_while(|(other, placed)| {
                other == file && placed.offset + placed.bytes - first.offset <= READ_BYTES.max(first.bytes)
            });
            let (run, others) = rest.split_at(together.count());
            let end = run.iter().map(|(_, placed)| placed.offset + placed.bytes).max().unwrap_or(first.offset);
            let key = &self.files[*file];
            let bytes = self.store.get_range(key, first.offset..end)?;
            for (_, placed) in run {
                let start = (placed.offset - first.offset) as usize;
                let payload = &bytes[start..][..placed.bytes as usize];
                if xxh3_64(payload) != placed.checksum {
                    return Err(broken(&self.store, key, &format!("the checksum at byte {} is wrong", placed.offset)));
                }
                take(placed.id, payload).map_err(|fault| {
                    let (name, KeyGroup(group)) = (self.store.name_of(key), placed.id.group);
                    let message = format!("{} (file of state `{name}`, key group {group})", fault.message);
                    Fault { message, ..fault }
                })?;
            }
            rest = others;
        }
        Ok(())
    }
}

/// The state of an operator in several slots of a checkpoint.
pub struct SlotsOfState {
    pub chunks: Vec<StateFiles>,
    pub native: Vec<StoredFiles>,
}

impl ChunkSource for SlotsOfState {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        self.chunks.iter_mut().try_for_each(|files| files.read(content, take))
    }

    fn native(&self) -> Vec<&dyn NativeFiles> {
        self.native.iter().map(|files| files as &dyn NativeFiles).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::location::Location;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        (folder, store)
    }

    fn id(group: u16, number: u64) -> ChunkId {
        ChunkId { group: KeyGroup(group), content: Content::Rows, number }
    }

    proptest! {
        #[test]
        fn the_newest_of_each_chunk_comes_back(
            files in prop::collection::vec(prop::collection::btree_map((0u16..6, 0u64..4), prop::collection::vec(any::<u8>(), 0..40), 0..12), 1..5),
            groups in (0u16..6, 0u16..7),
        ) {
            let (_folder, store) = store();
            let mut model = BTreeMap::new();
            let keys: Vec<String> = (0..files.len()).map(|i| format!("a/{i}.state")).collect();
            for (chunks, key) in files.iter().zip(&keys) {
                let mut writer = StateFileWriter::create(&store, key).unwrap();
                for ((group, number), payload) in chunks {
                    writer.put(id(*group, *number), 1, payload).unwrap();
                    model.insert(id(*group, *number), payload.clone());
                }
                let bytes = writer.finish().unwrap();
                prop_assert_eq!(bytes, store.bytes_of(key).unwrap());
            }
            let groups = groups.0..groups.1;
            model.retain(|id, payload| groups.contains(&id.group.0) && !payload.is_empty());
            let mut read = BTreeMap::new();
            let mut files = StateFiles::open(&store, &keys, groups).unwrap();
            files.read(Content::Rows, &mut |id, payload| { read.insert(id, payload.to_vec()); Ok(()) }).unwrap();
            prop_assert_eq!(files.entries(Content::Rows), model.len() as u64);
            prop_assert_eq!(read, model);
        }

        #[test]
        fn a_damaged_file_is_refused(at in any::<prop::sample::Index>(), by in 1u8..=255, cut: bool) {
            let (_folder, store) = store();
            let mut writer = StateFileWriter::create(&store, "f").unwrap();
            (0..3).for_each(|number| writer.put(id(0, number), 1, &[number as u8; 20]).unwrap());
            writer.finish().unwrap();
            let mut bytes = store.get("f").unwrap().unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= by }
            store.put("f", bytes).unwrap();
            let read = StateFiles::open(&store, &["f".to_owned()], 0..1)
                .and_then(|mut files| files.read(Content::Rows, &mut |_, _| Ok(())));
            // The magic at the start and the reserved byte of an entry are not looked at, and the latter is in the checksum.
            prop_assert!(read.is_err() || at < MAGIC.len(), "byte {}", at);
        }
    }
}
