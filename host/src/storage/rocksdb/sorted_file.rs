//! A file of sorted entries, made beside an instance that then takes it over: faster than writing them one by one.

use std::path::{Path, PathBuf};

use rocksdb::{Options, SstFileWriter};

use crate::model::fault::Fault;
use crate::model::key_group::KeyGroup;

use super::fault::fault;
use super::instance::Instance;
use super::layout::{self, Counts};

pub struct SortedFile<'a> {
    writer: SstFileWriter<'a>,
    path: PathBuf,
    is_empty: bool,
    key: Vec<u8>,
}

impl<'a> SortedFile<'a> {
    pub fn create(path: &Path, options: &'a Options) -> Result<Self, Fault> {
        let writer = SstFileWriter::create(options);
        writer.open(path).map_err(|error| fault(path, &error))?;
        Ok(Self { writer, path: path.to_owned(), is_empty: true, key: Vec::new() })
    }

    /// How much the group has: before its rows, and groups in order.
    pub fn put_counts(&mut self, group: KeyGroup, counts: &Counts) -> Result<(), Fault> {
        self.is_empty = false;
        let put = self.writer.put(layout::count_key(group), counts.encode());
        put.map_err(|error| fault(&self.path, &error))
    }

    /// An empty row says that there is none. Keys of a group in order.
    pub fn put_row(&mut self, group: KeyGroup, key: &[u8], row: &[u8]) -> Result<(), Fault> {
        self.is_empty = false;
        self.key.clear();
        layout::put_row_key(group, key, &mut self.key);
        let put = match row.is_empty() {
            true => self.writer.delete(&self.key),
            false => self.writer.put(&self.key, row),
        };
        put.map_err(|error| fault(&self.path, &error))
    }

    /// Any entry, as an instance has it. Keys in order.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.is_empty = false;
        self.writer.put(key, value).map_err(|error| fault(&self.path, &error))
    }

    /// Its entries are newer than those that the instance has.
    pub fn move_into(mut self, instance: &Instance) -> Result<(), Fault> {
        if self.is_empty {
            return Ok(());
        }
        self.writer.finish().map_err(|error| fault(&self.path, &error))?;
        instance.ingest(&self.path)
    }
}
