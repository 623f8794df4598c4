//! A file that is being written: rows in a format, on their way into a store.

use std::time::{Duration, Instant};

use crate::connectors::format::encode::RowEncoder;
use crate::connectors::format::parquet::ParquetEncoder;
use crate::dataplane::sink_writer::{Committable, SinkWriter};
use crate::model::batch::Batch;
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::schema::Schema;
use crate::plan::connector::{FileFormat, FileSink, Roll, SinkFormat};
use crate::store::{Prepared, Store, Upload};

use super::commit::{PartNames, committable};

pub struct Part {
    upload: Upload,
    encoder: Encoder,
    begun: Instant,
}

enum Encoder {
    Rows(RowEncoder),
    Parquet(Box<ParquetEncoder>),
}

pub fn extension(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Rows(SinkFormat::Json) => "jsonl",
        FileFormat::Rows(SinkFormat::Csv) => "csv",
        FileFormat::Parquet(_) => "parquet",
    }
}

impl Encoder {
    fn new(format: FileFormat, schema: &Schema) -> Result<Self, Fault> {
        Ok(match format {
            FileFormat::Rows(format) => Self::Rows(RowEncoder::new(format, schema).map_err(Fault::invalid)?),
            FileFormat::Parquet(format) => {
                Self::Parquet(Box::new(ParquetEncoder::new(format, schema.arrow()).map_err(Fault::invalid)?))
            }
        })
    }
}

impl Part {
    pub fn begin(store: &Store, name: &str, format: FileFormat, schema: &Schema) -> Result<Self, Fault> {
        let encoder = Encoder::new(format, schema)?;
        let mut upload = store.begin_upload(name)?;
        if let Encoder::Rows(rows) = &encoder {
            rows.header(upload.buffer()).map_err(|error| cannot_encode(&error))?;
        }
        Ok(Self { upload, encoder, begun: Instant::now() })
    }

    pub fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        let out = self.upload.buffer();
        match &mut self.encoder {
            Encoder::Rows(rows) => rows.encode(batch, out).map_err(|error| cannot_encode(&error))?,
            Encoder::Parquet(parquet) => {
                let batch = batch.clone().compact();
                parquet.encode(batch.records(), out).map_err(|error| cannot_encode(&error))?;
            }
        }
        self.upload.send()
    }

    pub fn flush(&mut self) -> Result<(), Fault> {
        self.upload.flush()
    }

    /// It is whole, and durable; `Store::complete_upload` gives it its name.
    pub fn finish(mut self) -> Result<Prepared, Fault> {
        if let Encoder::Parquet(parquet) = &mut self.encoder {
            parquet.finish(self.upload.buffer()).map_err(|error| cannot_encode(&error))?;
        }
        self.upload.prepare()
    }

    fn is_full(&self, roll: Roll) -> bool {
        let unwritten = match &self.encoder {
            Encoder::Rows(_) => 0,
            Encoder::Parquet(parquet) => parquet.unwritten_bytes(),
        };
        let is_old = |interval| self.begun.elapsed() >= Duration::from(interval);
        self.upload.bytes() + unwritten >= roll.bytes || roll.interval.is_some_and(is_old)
    }
}

fn cannot_encode(error: &dyn std::fmt::Display) -> Fault {
    Fault::invalid(format!("rows cannot be written in the sink's format: {error}"))
}

/// Writes a slot's parts of a sink whose job has checkpoints: nobody sees a part until the checkpoint that covers it is
/// complete, and no part has rows of two checkpoints.
pub struct PartWriter {
    store: Store,
    format: FileFormat,
    roll: Roll,
    schema: Schema,
    names: PartNames,
    slot: Slot,
    /// Parts that this writer has begun.
    begun: u64,
    current: Option<Part>,
    /// Since the last checkpoint.
    finished: Vec<Committable>,
}

impl PartWriter {
    pub fn open(sink: &FileSink, schema: &Schema, slot: Slot, names: PartNames) -> Result<Self, Fault> {
        // What cannot be written is refused before there is a row.
        Encoder::new(sink.format, schema)?;
        Ok(Self {
            store: Store::open(&sink.path)?,
            format: sink.format,
            roll: sink.roll,
            schema: schema.clone(),
            names,
            slot,
            begun: 0,
            current: None,
            finished: Vec::new(),
        })
    }

    fn close(&mut self) -> Result<(), Fault> {
        if let Some(part) = self.current.take() {
            self.finished.push(committable(&self.store, part.finish()?)?);
        }
        Ok(())
    }
}

impl SinkWriter for PartWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        if self.current.as_ref().is_some_and(|part| part.is_full(self.roll)) {
            self.close()?;
        }
        let part = match &mut self.current {
            Some(part) => part,
            none => {
                let name = self.names.part(self.slot, self.begun, extension(self.format));
                self.begun += 1;
                none.insert(Part::begin(&self.store, &name, self.format, &self.schema)?)
            }
        };
        part.write(batch)
    }

    /// Nobody can see what is flushed: a part is sent on when there is enough of it, or when it is whole.
    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn prepare(&mut self, _: CheckpointId) -> Result<Vec<Committable>, Fault> {
        self.close()?;
        Ok(std::mem::take(&mut self.finished))
    }

    /// The last checkpoint publishes the last part.
    fn finish(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
