//! Files: read in splits or followed as they grow, and written whole.

pub mod commit;
pub mod parts;
pub mod sink;

mod follow;
mod paths;
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

use follow::Follow;
use split::{FileSplit, Place};

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
    Ok(Box::new(Bounded { source: source.clone(), schema: schema.clone(), slot, slots, listed: false }))
}

/// How many splits there are now; of a followed source, each file is one.
pub fn count_splits(source: &FileSource) -> Result<usize, String> {
    let files = paths::list(source).map_err(|fault| fault.message)?;
    let splits = files.iter().map(|file| if source.follow { 1 } else { split::count(file.bytes, source) });
    Ok(splits.sum())
}

/// Settings that cannot work are refused before a file is opened.
fn check_schema(source: &FileSource, schema: &Schema) -> Result<(), Fault> {
    let headerless = match &source.format {
        Format::Csv(csv) => Format::Csv(CsvFormat { header: false, ..csv.clone() }),
        other => other.clone(),
    };
    decoder(&headerless, schema, None).map(drop).map_err(Fault::invalid)
}

/// Files as they are when the job starts: split i goes to slot i modulo the number of slots.
struct Bounded {
    source: FileSource,
    schema: Schema,
    slot: Slot,
    slots: Parallelism,
    listed: bool,
}

impl SplitEnumerator for Bounded {
    fn restore(&mut self, splits: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        // What there was to read was settled when the job first started.
        self.listed = true;
        let ours = splits.iter().skip(usize::from(self.slot.0)).step_by(usize::from(self.slots.get()));
        let mut left: Vec<Box<dyn SplitReader>> = Vec::new();
        for split in ours {
            if let Some(position) = &split.position {
                let place = Place::parse(position, split)?;
                place.check()?;
                left.push(Box::new(FileSplit::restored(place, &self.source.format, &self.schema)));
            }
        }
        Ok(left)
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        if std::mem::replace(&mut self.listed, true) {
            return Ok(Vec::new());
        }
        let files = paths::list(&self.source)?;
        let splits = files.iter().flat_map(|file| split::cut(file, &self.source));
        let ours = splits.skip(usize::from(self.slot.0)).step_by(usize::from(self.slots.get()));
        Ok(ours.map(|range| Box::new(FileSplit::new(range, &self.source.format, &self.schema)) as _).collect())
    }

    fn discover_interval(&self) -> Option<Micros> {
        None
    }
}

fn unavailable(what: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::unavailable(format!("cannot {what} `{}`: {error}", path.display()))
}
