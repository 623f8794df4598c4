//! An open instance of RocksDB: what can go wrong becomes a fault that names its folder.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamilyDescriptor, DB, IngestExternalFileOptions, Options, ReadOptions, WriteBatch, WriteOptions, properties,
};

use crate::model::fault::Fault;
use crate::model::key_group::KeyGroup;

use super::fault::fault;
use super::layout::{self, Item};
use super::options;

/// Of the writes that go to RocksDB at once.
const BATCH_BYTES: usize = 1 << 20;

pub struct Instance {
    db: DB,
    folder: PathBuf,
    writes: WriteOptions,
    batch: WriteBatch,
    key: Vec<u8>,
}

impl Instance {
    /// Opens what is in `folder`, or begins anew there.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, Fault> {
        let family = ColumnFamilyDescriptor::new(FAMILY, options.clone());
        let db = DB::open_cf_descriptors(options, folder, [family]).map_err(|error| fault(folder, &error))?;
        let writes = options::write_options();
        Ok(Self { db, folder: folder.to_owned(), writes, batch: WriteBatch::default(), key: Vec::new() })
    }

    fn fault(&self, error: &rocksdb::Error) -> Fault {
        fault(&self.folder, error)
    }

    /// What to say of an entry that is none of ours.
    pub fn strange(&self) -> Fault {
        Fault::unrestorable(format!("the state in `{}` was not written by this version", self.folder.display()))
    }

    /// Shows `take` the value of each key, in order.
    pub fn get_many<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
        mut take: impl FnMut(Option<&[u8]>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let family = self.db.cf_handle(FAMILY).ok_or_else(|| Fault::internal("an instance has no column family"))?;
        for value in self.db.batched_multi_get_cf(&family, keys, false) {
            take(value.map_err(|error| self.fault(&error))?.as_deref())?;
        }
        Ok(())
    }

    /// Puts a row, or removes it if it is empty; RocksDB has it after `write`.
    pub fn put_row(&mut self, group: KeyGroup, key: &[u8], row: &[u8]) -> Result<(), Fault> {
        self.key.clear();
        layout::put_row_key(group, key, &mut self.key);
        self.put_at_key(Some(row).filter(|row| !row.is_empty()))
    }

    /// Puts an entry, or removes it; RocksDB has it after `write`.
    pub fn put_entry(&mut self, group: KeyGroup, address: &[u8], value: Option<&[u8]>) -> Result<(), Fault> {
        self.key.clear();
        layout::put_entry_key(group, address, &mut self.key);
        self.put_at_key(value)
    }

    fn put_at_key(&mut self, value: Option<&[u8]>) -> Result<(), Fault> {
        match value {
            None => self.batch.delete(&self.key),
            Some(value) => self.batch.put(&self.key, value),
        }
        if self.batch.size_in_bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// Puts an entry; RocksDB has it after `write`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.batch.put(key, value);
        if self.batch.size_in_bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// Removes an entry; it is gone after `write`.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.batch.delete(key);
        if self.batch.size_in_bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// Removes the entries from `start` up to `end`, which were written.
    pub fn remove_range(&self, start: &[u8], end: &[u8]) -> Result<(), Fault> {
        let family = self.db.cf_handle(FAMILY).ok_or_else(|| Fault::internal("an instance has no column family"))?;
        self.db.delete_range_cf_opt(&family, start, end, &self.writes).map_err(|error| self.fault(&error))
    }

    /// Hands over what was put.
    pub fn write(&mut self) -> Result<(), Fault> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.db.write_opt(batch, &self.writes).map_err(|error| self.fault(&error))
    }

    /// Makes `folder`, which must not exist, an instance of what was written, of links to this one's files.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), Fault> {
        let checkpoint = Checkpoint::new(&self.db).map_err(|error| self.fault(&error))?;
        checkpoint.create_checkpoint(folder).map_err(|error| self.fault(&error))
    }

    /// Takes over a file of sorted keys, newer than all that it holds.
    pub fn ingest(&self, file: &Path) -> Result<(), Fault> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db.ingest_external_file_opts(&options, vec![file]).map_err(|error| self.fault(&error))
    }

    /// Removes what does not belong to the groups `start .. end`.
    pub fn keep_groups(&self, groups: &Range<u16>) -> Result<(), Fault> {
        let family = self.db.cf_handle(FAMILY).ok_or_else(|| Fault::internal("an instance has no column family"))?;
        let ranges = [([0, 0], layout::group_start(groups.start)), (layout::group_start(groups.end), [0xff, 0xff])];
        for (start, end) in ranges.iter().filter(|(start, end)| start < end) {
            self.db.delete_file_in_range(start, end).map_err(|error| self.fault(&error))?;
            let deleted = self.db.delete_range_cf_opt(&family, start, end, &self.writes);
            deleted.map_err(|error| self.fault(&error))?;
        }
        Ok(())
    }

    /// Shows `take` everything about `groups`, in order of keys.
    pub fn scan(
        &self,
        groups: &Range<u16>,
        mut take: impl FnMut(Item<'_>, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let range = layout::group_start(groups.start)..layout::group_start(groups.end);
        self.walk(options, range, |_, entry, value| take(entry, value).map(ControlFlow::Continue))
    }

    /// Shows `take` the items of a range of keys, in order, until it breaks off; with the key itself.
    pub fn items(
        &self,
        range: Range<impl Into<Vec<u8>>>,
        take: impl FnMut(&[u8], Item<'_>, &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        self.walk(ReadOptions::default(), range, take)
    }

    fn walk(
        &self,
        mut options: ReadOptions,
        range: Range<impl Into<Vec<u8>>>,
        mut take: impl FnMut(&[u8], Item<'_>, &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        options.set_iterate_lower_bound(range.start);
        options.set_iterate_upper_bound(range.end);
        let mut entries = self.db.raw_iterator_opt(options);
        entries.seek_to_first();
        while let (Some(key), Some(value)) = (entries.key(), entries.value()) {
            let item = layout::parse(key, value).ok_or_else(|| self.strange())?;
            if take(key, item, value)?.is_break() {
                return Ok(());
            }
            entries.next();
        }
        entries.status().map_err(|error| self.fault(&error))
    }

    /// The last key of a range.
    pub fn last(&self, range: Range<impl Into<Vec<u8>>>) -> Result<Option<Vec<u8>>, Fault> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start);
        options.set_iterate_upper_bound(range.end);
        let mut entries = self.db.raw_iterator_opt(options);
        entries.seek_to_last();
        let last = entries.key().map(<[u8]>::to_vec);
        entries.status().map_err(|error| self.fault(&error))?;
        Ok(last)
    }

    /// About how many keys it holds.
    pub fn estimated_len(&self) -> usize {
        let estimate = self.db.property_int_value(properties::ESTIMATE_NUM_KEYS);
        estimate.ok().flatten().unwrap_or_default() as usize
    }

    /// Shows `take` the entries from `start` up to `end` in order of keys, as long as it wants more; whether there are
    /// no more.
    pub fn range(
        &self,
        start: &[u8],
        end: &[u8],
        mut take: impl FnMut(&[u8], &[u8]) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(start);
        options.set_iterate_upper_bound(end);
        let mut entries = self.db.raw_iterator_opt(options);
        entries.seek_to_first();
        while let (Some(key), Some(value)) = (entries.key(), entries.value()) {
            if !take(key, value)? {
                return Ok(false);
            }
            entries.next();
        }
        entries.status().map_err(|error| self.fault(&error))?;
        Ok(true)
    }
}

const FAMILY: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;
const READAHEAD_BYTES: usize = 2 << 20;
