//! State as it was at a barrier: an instance of links to the files of the one that goes on, and the rows that stood only
//! in the cache. They meet here, beside the stream.

use std::ops::Range;
use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::snapshot::{self, ChunkId, ChunkSink, Content, Frozen, NativeForm, NativeSnapshot, STORED_TIMERS};
use crate::state::sorting::sort_by_group_and_key;

use super::backend::Host;
use super::cache::DirtyRows;
use super::instance::Instance;
use super::layout::{Counts, Item};
use super::linked_folder::LinkedFolder;
use super::sorted_file::SortedFile;

/// Of a chunk: about what is read at once when it is restored.
const CHUNK_BYTES: usize = 64 << 10;

pub struct FrozenInstance {
    pub dirty: DirtyRows,
    pub counts: Vec<(KeyGroup, Counts)>,
    pub groups: Range<u16>,
    pub max_parallelism: u16,
    pub is_native: bool,
    pub folder: LinkedFolder,
    pub host: Arc<Host>,
}

impl Frozen for FrozenInstance {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        let lasting = self.folder.tables()?;
        let options = self.host.shared.options_of_reader();
        let instance = Instance::open(&self.folder.path, &options)?;
        let mut newest = SortedFile::create(&self.folder.path.join("newest"), &options)?;
        self.put_newest(&mut newest)?;
        newest.move_into(&instance)?;
        if !self.is_native {
            return write_chunks(&instance, &self.groups, chunks);
        }
        drop(instance);
        let (folder, groups, files) = (&self.folder.path, self.groups.clone(), self.folder.files()?);
        chunks.put_files(&NativeSnapshot { form: NativeForm::RocksDb1, groups, folder, files, lasting })
    }
}

impl FrozenInstance {
    /// What the linked files have not got, in order of keys.
    fn put_newest(&self, file: &mut SortedFile) -> Result<(), Fault> {
        let group = |key: &[u8]| KeyHash::of(key).group(self.max_parallelism);
        let mut rows: Vec<_> = self.dirty.iter().map(|(key, row)| (group(key), key, row)).collect();
        sort_by_group_and_key(&mut rows, |(group, ..)| group, |(_, key, _)| key);
        let mut rows = rows.into_iter().peekable();
        for (group, counts) in &self.counts {
            file.put_counts(*group, counts)?;
            while let Some((_, key, row)) = rows.next_if(|(of, ..)| of == group) {
                file.put_row(*group, key, row)?;
            }
        }
        Ok(())
    }
}

/// All rows, entries and timers, as the memory backend writes them too.
fn write_chunks(instance: &Instance, groups: &Range<u16>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
    let mut payload = Vec::new();
    let (mut id, mut entries) = (ChunkId { group: KeyGroup(groups.start), content: Content::Rows, number: 0 }, 0);
    instance.scan(groups, |entry, value| {
        let (group, content, key) = match entry {
            // Panes are a window's, and what is due comes by key too.
            Item::Counts(..) | Item::Due(..) | Item::Pane(..) => return Ok(()),
            Item::Row(group, key) => (group, Content::Rows, key),
            Item::Timers(group, content, key) => (group, content, key),
            Item::Entry(group, address) => (group, Content::Entries, address),
        };
        let is_next = (group, content) == (id.group, id.content);
        if !is_next || payload.len() >= CHUNK_BYTES {
            put(id, &mut entries, &mut payload, chunks)?;
            id = ChunkId { group, content, number: if is_next { id.number + 1 } else { first_number(content) } };
        }
        snapshot::put_entry(&mut payload, key, value);
        entries += 1;
        Ok(())
    })?;
    put(id, &mut entries, &mut payload, chunks)
}

/// Of the chunks of a group.
fn first_number(content: Content) -> u64 {
    match content {
        Content::EventTimers | Content::ProcessingTimers => STORED_TIMERS,
        _ => 0,
    }
}

fn put(id: ChunkId, entries: &mut u32, payload: &mut Vec<u8>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
    if *entries > 0 {
        chunks.put(id, *entries, payload)?;
    }
    *entries = 0;
    payload.clear();
    Ok(())
}
