//! Files of a sink whose job has checkpoints: parts that nobody sees until the checkpoint that covers them is complete.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::connectors::format::encode::RowEncoder;
use crate::dataplane::sink_writer::{Committable, SinkWriter};
use crate::model::batch::Batch;
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::schema::Schema;
use crate::plan::connector::FileSink;

use super::sink::extension;
use super::unavailable;

const BUFFER_BYTES: usize = 256 << 10;

/// A part that is whole and has not got its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The name it gets.
    pub part: String,
}

/// Where a part is until it is committed.
pub fn hidden(directory: &Path, part: &str) -> PathBuf {
    directory.join(format!(".{part}.inprogress"))
}

pub struct PartWriter {
    directory: PathBuf,
    encoder: RowEncoder,
    extension: &'static str,
    slot: Slot,
    incarnation: u64,
    /// Parts that this writer has begun.
    begun: u64,
    current: Option<Part>,
}

struct Part {
    name: String,
    path: PathBuf,
    file: File,
    /// Encoded, not written.
    buffer: Vec<u8>,
}

impl PartWriter {
    /// Creates the directory.
    pub fn open(sink: &FileSink, schema: &Schema, slot: Slot, incarnation: u64) -> Result<Self, Fault> {
        let encoder = RowEncoder::new(sink.format, schema).map_err(Fault::invalid)?;
        fs::create_dir_all(&sink.path).map_err(|error| unavailable("create the directory", &sink.path, &error))?;
        Ok(Self {
            directory: sink.path.clone(),
            encoder,
            extension: extension(sink.format),
            slot,
            incarnation,
            begun: 0,
            current: None,
        })
    }

    fn part(&mut self) -> Result<&mut Part, Fault> {
        if self.current.is_none() {
            let name = format!("part-{}-{}-{}.{}", self.incarnation, self.slot.0, self.begun, self.extension);
            let path = hidden(&self.directory, &name);
            let file = File::create(&path).map_err(|error| unavailable("create", &path, &error))?;
            let mut buffer = Vec::new();
            self.encoder.header(&mut buffer).map_err(|error| Fault::invalid(error.to_string()))?;
            self.begun += 1;
            self.current = Some(Part { name, path, file, buffer });
        }
        Ok(self.current.as_mut().expect("it has just been made"))
    }
}

impl Part {
    fn write_out(&mut self) -> Result<(), Fault> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| unavailable("write", &self.path, &error))
    }
}

impl SinkWriter for PartWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.part()?;
        let Some(part) = &mut self.current else { return Ok(()) };
        self.encoder.encode(batch, &mut part.buffer).map_err(|error| Fault::invalid(error.to_string()))?;
        if part.buffer.len() >= BUFFER_BYTES { part.write_out() } else { Ok(()) }
    }

    /// Nobody can see what is flushed: a part is written when it is full enough or prepared.
    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn prepare(&mut self, _: CheckpointId) -> Result<Vec<Committable>, Fault> {
        let Some(mut part) = self.current.take() else { return Ok(Vec::new()) };
        part.write_out()?;
        part.file.sync_all().map_err(|error| unavailable("sync", &part.path, &error))?;
        let prepared = serde_json::to_value(Prepared { part: part.name });
        Ok(vec![prepared.map_err(|error| Fault::internal(error.to_string()))?])
    }

    /// The last checkpoint publishes the last part.
    fn finish(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
