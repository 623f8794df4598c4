//! Files: read in splits or followed as they grow, and written whole.

pub mod commit;
pub mod part;
pub mod sink;

mod columns;
mod files;
mod follow;
mod paths;
mod row_group;
mod split;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use crate::connectors::format::decoder;
use crate::dataplane::split::{SplitEnumerator, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot};
use crate::model::schema::Schema;
use crate::model::time::Micros;
use crate::plan::connector::{CsvFormat, FileSource, Format};

use files::Files;
use follow::Follow;
use row_group::RowGroups;
use split::{FileSplit, Place};

pub use paths::NamedFiles;

/// The splits of one slot.
pub fn open(
    source: &FileSource,
    schema: &Schema,
    slot: Slot,
    slots: Parallelism,
) -> Result<Box<dyn SplitEnumerator>, Fault> {
    check_schema(source, schema)?;
    if source.follow {
        return Ok(Box::new(Follow::new(source, schema, slot, slots)));
    }
    let files = Files::of(source)?;
    let format = match &source.format {
        Format::Parquet => BoundedFormat::RowGroups(RowGroups::new(&files, schema)),
        _ => BoundedFormat::Lines,
    };
    let (source, schema) = (source.clone(), schema.clone());
    Ok(Box::new(Bounded { source, files, format, schema, slot, slots, listed: false }))
}

/// How many splits there are now; of a followed source, each file is one.
pub fn count_splits(source: &FileSource) -> Result<usize, String> {
    count(source).map_err(|fault| fault.message)
}

fn count(source: &FileSource) -> Result<usize, Fault> {
    let files = Files::of(source)?;
    let listed = files.list(source)?;
    if matches!(source.format, Format::Parquet) {
        return listed.iter().map(|file| row_group::count(&files, &file.path)).sum();
    }
    Ok(listed.iter().map(|file| if source.follow { 1 } else { split::count(file.bytes, source) }).sum())
}

/// Settings that cannot work are refused before a file is opened.
fn check_schema(source: &FileSource, schema: &Schema) -> Result<(), Fault> {
    let headerless = match &source.format {
        Format::Parquet => return Ok(()),
        Format::Csv(csv) => Format::Csv(CsvFormat { header: false, ..csv.clone() }),
        other => other.clone(),
    };
    decoder(&headerless, schema, None).map(drop).map_err(Fault::invalid)
}

/// Files as they are when the job starts: split i goes to slot i modulo the number of slots.
struct Bounded {
    source: FileSource,
    files: Files,
    format: BoundedFormat,
    schema: Schema,
    slot: Slot,
    slots: Parallelism,
    listed: bool,
}

enum BoundedFormat {
    Lines,
    RowGroups(RowGroups),
}

impl Bounded {
    /// This slot's share.
    fn ours<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(usize::from(self.slot.0)).step_by(usize::from(self.slots.get()))
    }
}

impl SplitEnumerator for Bounded {
    fn restore(&mut self, splits: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        // What there was to read was settled when the job first started.
        self.listed = true;
        let left = splits.iter().filter_map(|split| Some((split, split.position.as_ref()?)));
        // Read in the order in which they were listed, which is not that of their names.
        match &self.format {
            BoundedFormat::RowGroups(groups) => {
                let mut all = left.map(|(split, at)| groups.parse(at, split)).collect::<Result<Vec<_>, _>>()?;
                all.sort_by(|a, b| (&a.path, a.row_group).cmp(&(&b.path, b.row_group)));
                self.ours(all.into_iter()).map(|place| Ok(Box::new(groups.restored(place)?) as _)).collect()
            }
            BoundedFormat::Lines => {
                let mut all = left.map(|(split, at)| Place::parse(at, split)).collect::<Result<Vec<_>, _>>()?;
                all.sort_by(|a, b| (&a.range.path, a.range.start).cmp(&(&b.range.path, b.range.start)));
                let (files, format) = (&self.files, &self.source.format);
                let restored = |place: Place| {
                    place.check(files)?;
                    Ok(Box::new(FileSplit::restored(place, files, format, &self.schema)) as _)
                };
                self.ours(all.into_iter()).map(restored).collect()
            }
        }
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        if std::mem::replace(&mut self.listed, true) {
            return Ok(Vec::new());
        }
        let listed = self.files.list(&self.source)?;
        if let BoundedFormat::RowGroups(groups) = &self.format {
            let splits = groups.of(&listed)?;
            return Ok(self.ours(splits.into_iter()).map(|split| Box::new(split) as _).collect());
        }
        let splits = listed.iter().flat_map(|file| split::cut(file, &self.source));
        let (files, format) = (&self.files, &self.source.format);
        Ok(self.ours(splits).map(|range| Box::new(FileSplit::new(range, files, format, &self.schema)) as _).collect())
    }

    fn discover_interval(&self) -> Option<Micros> {
        None
    }
}

fn unavailable(what: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::unavailable(format!("cannot {what} `{}`: {error}", path.display()))
}
