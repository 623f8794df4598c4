//! From a checkpoint to an instance. Where the slot owns the same key groups as before, the files are opened as they
//! are. Otherwise the instance that has most of the groups is opened and the others are copied into it.

use std::fs;
use std::ops::Range;
use std::path::Path;

use rocksdb::Options;

use crate::model::fault::Fault;
use crate::model::key_group::KeyGroup;
use crate::state::entries::convert;
use crate::state::row::Transposition;
use crate::state::snapshot::{self, ChunkSource, Content, NativeFiles, NativeForm};
use crate::state::timers::store::TIMER_BYTES;
use crate::state::{FormerState, StateLayout};

use super::instance::Instance;
use super::layout::{self, Counts, Item};
use super::sorted_file::SortedFile;
use super::working_folder::beside;

pub struct Restored {
    pub instance: Instance,
    /// A group may come several times.
    pub counts: Vec<(KeyGroup, Counts)>,
}

/// How what stands in a checkpoint becomes the operator's.
pub struct Takeover<'a> {
    pub rows: Transposition,
    pub states: &'a mut [FormerState],
}

impl Takeover<'_> {
    /// Everything stays as it is.
    fn is_identity(&self) -> bool {
        let stays = |(number, state): (usize, &FormerState)| match state.layout {
            StateLayout::Value { .. } => true,
            StateLayout::Entries { .. } => state.number == Some(number) && state.conversion.is_none(),
        };
        self.rows.is_identity() && self.states.iter().enumerate().all(stays)
    }
}

/// Makes the instance in `folder` one of what `chunks` have of `groups`.
pub fn restore(
    chunks: &mut dyn ChunkSource,
    takeover: &mut Takeover<'_>,
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
        Some((base, others)) if takeover.is_identity() => (Some(base), others),
        // Everything must be written anew.
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
        restored.copy(*files, takeover, groups, &beside, options)?;
    }
    restored.read(chunks, takeover)?;
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

/// Opens them in `folder`, to be read.
pub fn open_former(files: &dyn NativeFiles, folder: &Path, options: &Options) -> Result<Instance, Fault> {
    fetch(files, folder)?;
    let mut reading = options.clone();
    reading.set_disable_auto_compactions(true);
    Instance::open(folder, &reading)
}

fn open_base(
    files: &dyn NativeFiles,
    groups: &Range<u16>,
    folder: &Path,
    options: &Options,
    counts: &mut Vec<(KeyGroup, Counts)>,
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
        let of_group = count.map_or(Some(Counts::default()), Counts::decode).ok_or_else(|| instance.strange())?;
        counts.push((group, of_group));
        Ok(())
    })?;
    Ok(instance)
}

impl Restored {
    /// Copies what `files` have of `groups`; `beside` is a folder for the time being.
    fn copy(
        &mut self,
        files: &dyn NativeFiles,
        takeover: &mut Takeover<'_>,
        groups: &Range<u16>,
        beside: &Path,
        options: &Options,
    ) -> Result<(), Fault> {
        let former = open_former(files, beside, options)?;
        let mut copied = SortedFile::create(&beside.join("copied"), options)?;
        let (mut address, mut key) = (Vec::new(), Vec::new());
        former.scan(&common(&files.groups(), groups), |entry, value| match entry {
            // Panes are a window's.
            Item::Counts(..) | Item::Pane(..) => Ok(()),
            Item::Row(group, key) => {
                let row = takeover.rows.apply(value, takeover.states)?;
                if row.is_empty() {
                    return Ok(());
                }
                self.counts_of(group).keys += 1;
                copied.put_row(group, key, &row)
            }
            Item::Timers(group, content, of) => {
                *self.counts_of(group).timers_mut(content) += (value.len() / TIMER_BYTES) as u64;
                key.clear();
                layout::put_timers_key(group, content, of, &mut key);
                copied.put(&key, value)
            }
            Item::Due(group, content, first, of) => {
                key.clear();
                layout::put_due_key(group, content, first, of, &mut key);
                copied.put(&key, value)
            }
            // Not into the sorted file: where states have other numbers, addresses have another order.
            Item::Entry(group, stored) => match convert(stored, value, takeover.states, &mut address)? {
                Some(value) => self.instance.put_entry(group, &address, Some(&value)),
                None => Ok(()),
            },
        })?;
        self.instance.write()?;
        copied.move_into(&self.instance)?;
        drop(former);
        // What is left goes with the working folder.
        let _ = fs::remove_dir_all(beside);
        Ok(())
    }

    /// Of the group that something was found of.
    fn counts_of(&mut self, group: KeyGroup) -> &mut Counts {
        if self.counts.last().is_none_or(|(last, _)| *last != group) {
            self.counts.push((group, Counts::default()));
        }
        let last = self.counts.len() - 1;
        &mut self.counts[last].1
    }

    /// Takes over what is in the form that every backend reads, without the timers, which begin in memory.
    fn read(&mut self, chunks: &mut dyn ChunkSource, takeover: &mut Takeover<'_>) -> Result<(), Fault> {
        chunks.read(Content::Rows, &mut |id, payload| {
            let mut count = 0;
            for entry in snapshot::entries(payload) {
                let (key, row) = entry?;
                let row = takeover.rows.apply(row, takeover.states)?;
                if !row.is_empty() {
                    self.instance.put_row(id.group, key, &row)?;
                    count += 1;
                }
            }
            self.counts.push((id.group, Counts { keys: count, ..Counts::default() }));
            Ok(())
        })?;
        let mut address = Vec::new();
        chunks.read(Content::Entries, &mut |id, payload| {
            for entry in snapshot::entries(payload) {
                let (stored, value) = entry?;
                if let Some(value) = convert(stored, value, takeover.states, &mut address)? {
                    self.instance.put_entry(id.group, &address, Some(&value))?;
                }
            }
            Ok(())
        })?;
        self.instance.write()
    }
}
