//! What operators move out of memory, in an instance that is opened with the first of it. Groups are cut by ranges of
//! keys, and a table that is forgotten is one range for each group; so neither takes the longer the more there is.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::snapshot::{
    ChunkId, ChunkSink, ChunkSource, Content, Frozen, NativeFiles, NativeForm, NativeSnapshot, put_entry,
};
use crate::state::spill::{SpillStore, TakeEntry, TakeValue};

use super::backend::{Host, RocksDb};
use super::instance::Instance;
use super::layout;
use super::linked_folder::LinkedFolder;
use super::restore::{common, fetch};
use super::sorted_file::SortedFile;
use super::working_folder::beside;

pub struct RocksDbSpill {
    groups: Range<u16>,
    max_parallelism: u16,
    is_native: bool,
    instance: Option<Instance>,
    folder: PathBuf,
    /// Tables before this one are to be removed, together with what is done next.
    forgotten: Option<i64>,
    key: Vec<u8>,
    /// The working folder goes last.
    host: Arc<Host>,
}

impl RocksDb {
    /// Room for what an operator moves out of memory in a slot, which owns the key groups `groups` of `max_parallelism`.
    /// `is_native`: see `open`.
    pub fn spill(
        &self,
        uid: &Uid,
        slot: Slot,
        groups: Range<u16>,
        max_parallelism: u16,
        is_native: bool,
    ) -> RocksDbSpill {
        let folder = self.host.folder_of(uid, slot);
        let (host, key) = (Arc::clone(&self.host), Vec::new());
        RocksDbSpill { groups, max_parallelism, is_native, instance: None, folder, forgotten: None, key, host }
    }
}

impl RocksDbSpill {
    fn open(&mut self) -> Result<&mut Instance, Fault> {
        match &mut self.instance {
            Some(instance) => Ok(instance),
            none => Ok(none.insert(Instance::open(&self.folder, &self.host.shared.options())?)),
        }
    }

    fn remove_forgotten(&mut self) -> Result<(), Fault> {
        let (Some(first), Some(instance)) = (self.forgotten.take(), &self.instance) else { return Ok(()) };
        self.groups.clone().map(KeyGroup).try_for_each(|group| {
            instance.remove_range(&layout::table_start(group, i64::MIN), &layout::table_start(group, first))
        })
    }

    /// The tables of the instance: each is found from the one before.
    fn tables(&self, instance: &Instance) -> Result<BTreeSet<i64>, Fault> {
        let mut tables = BTreeSet::new();
        for group in self.groups.clone().map(KeyGroup) {
            let mut next = Some(i64::MIN);
            while let Some(from) = next.take() {
                instance.range(&layout::table_start(group, from), &layout::tables_end(group), |key, _| {
                    let (table, _) = parse(instance, key)?;
                    tables.insert(table);
                    next = table.checked_add(1);
                    Ok(false)
                })?;
            }
        }
        Ok(tables)
    }

    /// Copies what `files` have of the slot's groups.
    fn copy(&self, files: &dyn NativeFiles, instance: &Instance) -> Result<(), Fault> {
        let beside = beside(&self.folder, "former");
        fetch(files, &beside)?;
        let options = self.host.shared.options_of_reader();
        let former = Instance::open(&beside, &options)?;
        let mut copied = SortedFile::create(&beside.join("copied"), &options)?;
        let groups = common(&files.groups(), &self.groups);
        let (start, end) = (layout::group_start(groups.start), layout::group_start(groups.end));
        former.range(&start, &end, |key, value| copied.put(key, value).map(|()| true))?;
        copied.move_into(instance)?;
        drop(former);
        // What is left goes with the working folder.
        let _ = fs::remove_dir_all(beside);
        Ok(())
    }
}

impl SpillStore for RocksDbSpill {
    fn groups(&self) -> Range<u16> {
        self.groups.clone()
    }

    fn put(&mut self, table: i64, key: &[u8], hash: KeyHash, value: &[u8]) -> Result<(), Fault> {
        let mut row = std::mem::take(&mut self.key);
        row.clear();
        layout::put_table_key(hash.group(self.max_parallelism), table, key, &mut row);
        let put = self.open()?.put(&row, value);
        self.key = row;
        put
    }

    fn write(&mut self) -> Result<(), Fault> {
        self.remove_forgotten()?;
        self.instance.as_mut().map_or(Ok(()), Instance::write)
    }

    fn get(&mut self, table: i64, keys: &Keys, take: &mut TakeValue<'_>) -> Result<(), Fault> {
        let Some(instance) = &self.instance else { return Ok(()) };
        let (mut encoded, mut ends) = (Vec::new(), vec![0]);
        for (i, key) in keys.iter().enumerate() {
            layout::put_table_key(keys.hash(i).group(self.max_parallelism), table, key, &mut encoded);
            ends.push(encoded.len());
        }
        let mut numbers = 0..;
        instance.get_many(ends.windows(2).map(|ends| &encoded[ends[0]..ends[1]]), |value| {
            let number = numbers.next().unwrap_or_default();
            value.map_or(Ok(()), |value| take(number, value))
        })
    }

    fn page(
        &mut self,
        table: i64,
        group: KeyGroup,
        after: Option<&[u8]>,
        bytes_max: usize,
        take: &mut TakeEntry<'_>,
    ) -> Result<bool, Fault> {
        let Some(instance) = &self.instance else { return Ok(true) };
        let mut start = layout::table_start(group, table).to_vec();
        if let Some(after) = after {
            start.extend_from_slice(after);
            // The key behind it.
            start.push(0);
        }
        let mut bytes = 0;
        instance.range(&start, &layout::table_start(group, table + 1), |key, value| {
            take(parse(instance, key)?.1, value)?;
            bytes += key.len() + value.len();
            Ok(bytes < bytes_max)
        })
    }

    fn forget_before(&mut self, table: i64) {
        self.forgotten = Some(table);
    }

    fn is_native(&self) -> bool {
        self.is_native
    }

    /// The stream waits for what RocksDB has in its write buffer to be written to a file; the rest is done by `write`.
    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault> {
        self.remove_forgotten()?;
        let path = beside(&self.folder, &format!("checkpoint-{}", barrier.checkpoint));
        self.open()?.checkpoint(&path)?;
        Ok(Box::new(FrozenSpill {
            folder: LinkedFolder { path },
            groups: self.groups.clone(),
            is_native: self.is_native,
            host: Arc::clone(&self.host),
        }))
    }

    /// The files of the slot that had most of the groups are opened as they are; what others had is copied.
    fn restore(&mut self, chunks: &mut dyn ChunkSource) -> Result<BTreeSet<i64>, Fault> {
        let mut former = chunks.native();
        former.retain(|files| !common(&files.groups(), &self.groups).is_empty());
        former.sort_by_key(|files| std::cmp::Reverse(common(&files.groups(), &self.groups).len()));
        let Some((base, others)) = former.split_first() else { return Ok(BTreeSet::new()) };
        fetch(*base, &self.folder)?;
        let instance = Instance::open(&self.folder, &self.host.shared.options())?;
        let kept = common(&base.groups(), &self.groups);
        if kept != base.groups() {
            instance.keep_groups(&kept)?;
        }
        others.iter().try_for_each(|files| self.copy(*files, &instance))?;
        let tables = self.tables(&instance)?;
        self.instance = Some(instance);
        Ok(tables)
    }
}

fn parse<'k>(instance: &Instance, key: &'k [u8]) -> Result<(i64, &'k [u8]), Fault> {
    layout::parse_table_key(key).ok_or_else(|| instance.strange())
}

struct FrozenSpill {
    folder: LinkedFolder,
    groups: Range<u16>,
    is_native: bool,
    host: Arc<Host>,
}

impl Frozen for FrozenSpill {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        if !self.is_native {
            let instance = Instance::open(&self.folder.path, &self.host.shared.options_of_reader())?;
            return self.groups.clone().map(KeyGroup).try_for_each(|group| write_chunks(&instance, group, chunks));
        }
        let (folder, groups) = (&self.folder.path, self.groups.clone());
        let (files, lasting) = (self.folder.files()?, self.folder.tables()?);
        chunks.put_files(&NativeSnapshot { form: NativeForm::RocksDb1, groups, folder, files, lasting })
    }
}

/// The tables of a group as the window operator writes them, which is what spills so far.
fn write_chunks(instance: &Instance, group: KeyGroup, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
    let (mut payload, mut entries, mut last) = (Vec::new(), 0, None);
    let mut put = |table: Option<i64>, entries: &mut u32, payload: &mut Vec<u8>| {
        if let Some(table) = table.filter(|_| *entries > 0) {
            let id = ChunkId { group, content: Content::Panes, number: table.cast_unsigned() };
            chunks.put(id, std::mem::take(entries), payload)?;
            payload.clear();
        }
        Ok::<(), Fault>(())
    };
    instance.range(&layout::table_start(group, i64::MIN), &layout::tables_end(group), |key, value| {
        let (table, key) = parse(instance, key)?;
        if last != Some(table) {
            put(last.replace(table), &mut entries, &mut payload)?;
        }
        put_entry(&mut payload, key, value);
        entries += 1;
        Ok(true)
    })?;
    put(last, &mut entries, &mut payload)
}
