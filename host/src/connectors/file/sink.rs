//! A directory with a file for each slot, which gets its name when it is whole: for jobs without checkpoints.

use crate::dataplane::sink_writer::SinkWriter;
use crate::model::batch::Batch;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::schema::Schema;
use crate::plan::connector::FileSink;
use crate::store::Store;

use super::part::{Part, extension};

pub struct FileWriter {
    store: Store,
    /// `None` = it is finished.
    part: Option<Part>,
}

impl FileWriter {
    /// Creates the directory, and begins `part-<slot>.<format>`. Slot 0 answers for the whole directory: it must be
    /// opened before any slot finishes.
    pub fn open(sink: &FileSink, schema: &Schema, slot: Slot) -> Result<Self, Fault> {
        let store = Store::open(&sink.path)?;
        let name = format!("part-{}.{}", slot.0, extension(sink.format));
        refuse_earlier(&store, |found| if slot.0 == 0 { found.starts_with("part-") } else { found == name })?;
        store.abort_uploads(|found| found == name)?;
        let part = Part::begin(&store, &name, sink.format, schema)?;
        Ok(Self { store, part: Some(part) })
    }
}

/// Results of an earlier run are neither mixed with new ones nor overwritten.
pub fn refuse_earlier(store: &Store, is_earlier: impl Fn(&str) -> bool) -> Result<(), Fault> {
    match store.names()?.iter().find(|name| is_earlier(name)) {
        None => Ok(()),
        Some(found) => Err(Fault::unavailable(format!(
            "`{}` is there from an earlier run: remove the part files, or write to another directory",
            store.name_of(found)
        ))),
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.part.as_mut().map_or(Ok(()), |part| part.write(batch))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.part.as_mut().map_or(Ok(()), Part::flush)
    }

    fn finish(&mut self) -> Result<(), Fault> {
        let Some(part) = self.part.take() else { return Ok(()) };
        self.store.complete_upload(&part.finish()?)
    }
}
