//! From a checkpoint to an instance. Where the slot owns the same key groups as before, the files are opened as they
//! are. Otherwise the instance that has most of the groups is opened and the others are copied into it.

use std::fs;
use std::ops::Range;
use std::path::Path;

use rocksdb::Options;

use crate::model::fault::Fault;
use crate::model::key_group::KeyGroup;
use crate::state::row::Transposition;
use crate::state::snapshot::{self, ChunkSource, Content, NativeFiles, NativeForm};

use super::instance::Instance;
use super::layout::{self, Entry};
use super::sorted_file::SortedFile;
use super::working_folder::beside;

pub struct Restored {
    pub instance: Instance,
    /// Keys that have a value; a group may come several times.
    pub counts: Vec<(KeyGroup, u64)>,
}

/// Makes the instance in `folder` one of what `chunks` have of `groups`, with rows as `transposition` says.
pub fn restore(
    chunks: &mut dyn ChunkSource,
    transposition: &Transposition,
    groups: &Range<u16>,
    folder: &Path,
    options: &Options,
) -> Result<Restored, Fault> {
    let native = chunks.native();
    let mut former: Vec<&dyn NativeFiles> =
        native.into_iter().filter(|files| !common(&files.groups(), groups).is_empty()).collect();
    former.sort_by_key(|files| std::cmp::Reverse(common(&files.groups(), groups).len()));
    empty(folder)?;
    let (base, others) = match former.split_first() {
        Some((base, others)) if transposition.is_identity() => (Some(base), others),
        // Every row must be written anew.
        _ => (None, &former[..]),
    };
    let mut counts = Vec::new();
    let instance = match base {
        None => Instance::open(folder, options)?,
        Some(base) => open_base(*base, groups, folder, options, &mut counts)?,
    };
    let mut restored = Restored { instance, counts };
    let beside = beside(folder, "former");
    for files in others {
        restored.copy(*files, transposition, groups, &beside, options)?;
    }
    restored.read(chunks, transposition)?;
    Ok(restored)
}

pub(super) fn common(a: &Range<u16>, b: &Range<u16>) -> Range<u16> {
    a.start.max(b.start)..a.end.min(b.end)
}

fn empty(folder: &Path) -> Result<(), Fault> {
    let emptied = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    };
    emptied
        .map_err(|error| Fault::unavailable(format!("cannot empty the working folder `{}`: {error}", folder.display())))
}

/// Puts the files into `folder`, which is emptied.
pub(super) fn fetch(files: &dyn NativeFiles, folder: &Path) -> Result<(), Fault> {
    // There is one form so far.
    let NativeForm::RocksDb1 = files.form();
    empty(folder)?;
    files.fetch(folder)
}

fn open_base(
    files: &dyn NativeFiles,
    groups: &Range<u16>,
    folder: &Path,
    options: &Options,
    counts: &mut Vec<(KeyGroup, u64)>,
) -> Result<Instance, Fault> {
    fetch(files, folder)?;
    let instance = Instance::open(folder, options)?;
    let kept = common(&files.groups(), groups);
    if kept != files.groups() {
        instance.keep_groups(&kept)?;
    }
    let keys: Vec<_> = kept.clone().map(|group| layout::count_key(KeyGroup(group))).collect();
    let mut kept = kept;
    instance.get_many(keys.iter().map(|key| &key[..]), |count| {
        let group = KeyGroup(kept.next().unwrap_or_default());
        let count = count.and_then(|count| count.first_chunk()).map_or(0, |count| u64::from_le_bytes(*count));
        counts.push((group, count));
        Ok(())
    })?;
    Ok(instance)
}

impl Restored {
    /// Copies what `files` have of `groups`; `beside` is a folder for the time being.
    fn copy(
        &mut self,
        files: &dyn NativeFiles,
        transposition: &Transposition,
        groups: &Range<u16>,
        beside: &Path,
        options: &Options,
    ) -> Result<(), Fault> {
        fetch(files, beside)?;
        let mut reading = options.clone();
        reading.set_disable_auto_compactions(true);
        let former = Instance::open(beside, &reading)?;
        let mut copied = SortedFile::create(&beside.join("copied"), options)?;
        former.scan(&common(&files.groups(), groups), |entry, row| {
            let Entry::Row(group, key) = entry else { return Ok(()) };
            let row = transposition.apply(row)?;
            if row.is_empty() {
                return Ok(());
            }
            match self.counts.last_mut() {
                Some((last, count)) if *last == group => *count += 1,
                _ => self.counts.push((group, 1)),
            }
            copied.put_row(group, key, &row)
        })?;
        copied.move_into(&self.instance)?;
        drop(former);
        // What is left goes with the working folder.
        let _ = fs::remove_dir_all(beside);
        Ok(())
    }

    /// Takes over rows in the form that every backend reads.
    fn read(&mut self, chunks: &mut dyn ChunkSource, transposition: &Transposition) -> Result<(), Fault> {
        chunks.read(Content::Rows, &mut |id, payload| {
            let mut count = 0;
            for entry in snapshot::entries(payload) {
                let (key, row) = entry?;
                let row = transposition.apply(row)?;
                if !row.is_empty() {
                    self.instance.put_row(id.group, key, &row)?;
                    count += 1;
                }
            }
            self.counts.push((id.group, count));
            Ok(())
        })?;
        self.instance.write()
    }
}
