//! A directory with a file for each slot, which gets its name when it is whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::connectors::format::encode::RowEncoder;
use crate::dataplane::sink_writer::SinkWriter;
use crate::model::batch::Batch;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::schema::Schema;
use crate::plan::connector::{FileSink, SinkFormat};

use super::unavailable;

const BUFFER_BYTES: usize = 256 << 10;

pub struct FileWriter {
    encoder: RowEncoder,
    /// Encoded, not written.
    buffer: Vec<u8>,
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
}

impl FileWriter {
    /// Creates the directory and the file, under the name `.part-<slot>.<format>.inprogress`. Slot 0 answers for the
    /// whole directory: it must be opened before any slot finishes.
    pub fn open(sink: &FileSink, schema: &Schema, slot: Slot) -> Result<Self, Fault> {
        let encoder = RowEncoder::new(sink.format, schema).map_err(Fault::invalid)?;
        fs::create_dir_all(&sink.path).map_err(|error| unavailable("create the directory", &sink.path, &error))?;
        let name = format!("part-{}.{}", slot.0, extension(sink.format));
        refuse_earlier(&sink.path, |found| if slot.0 == 0 { found.starts_with("part-") } else { found == name })?;
        let unfinished = sink.path.join(format!(".{name}.inprogress"));
        let file = File::create(&unfinished).map_err(|error| unavailable("create", &unfinished, &error))?;
        let mut buffer = Vec::new();
        encoder.header(&mut buffer).map_err(|error| Fault::invalid(error.to_string()))?;
        Ok(Self { encoder, buffer, file, unfinished, path: sink.path.join(name) })
    }

    fn write_out(&mut self) -> Result<(), Fault> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| unavailable("write", &self.unfinished, &error))
    }
}

pub fn extension(format: SinkFormat) -> &'static str {
    match format {
        SinkFormat::Json => "jsonl",
        SinkFormat::Csv => "csv",
    }
}

/// Results of an earlier run are neither mixed with new ones nor overwritten.
pub fn refuse_earlier(directory: &Path, is_earlier: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let fault = |error| unavailable("list", directory, &error);
    for entry in fs::read_dir(directory).map_err(fault)? {
        let found = entry.map_err(fault)?.path();
        if is_earlier(&found.file_name().unwrap_or_default().to_string_lossy()) {
            return Err(Fault::unavailable(format!(
                "`{}` is there from an earlier run: remove the part files, or write to another directory",
                found.display()
            )));
        }
    }
    Ok(())
}

impl SinkWriter for FileWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.encoder.encode(batch, &mut self.buffer).map_err(|error| Fault::invalid(error.to_string()))?;
        if self.buffer.len() >= BUFFER_BYTES { self.write_out() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.write_out()
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.write_out()?;
        self.file.sync_all().map_err(|error| unavailable("sync", &self.unfinished, &error))?;
        fs::rename(&self.unfinished, &self.path).map_err(|error| unavailable("rename", &self.unfinished, &error))?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| unavailable("sync the directory", directory, &error))
    }
}
