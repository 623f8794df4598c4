//! A row group of a Parquet file, which is a split: only its columns that somebody needs are read.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use serde::{Deserialize, Serialize};

use crate::dataplane::split::{Position, Read, ReadLimits, Rows, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::SplitName;
use crate::model::schema::Schema;
use crate::store::Store;

use super::columns::Columns;
use super::files::{Files, ObjectReader};
use super::paths::Listed;
use super::unavailable;

/// What a checkpoint keeps of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Of an object its URL.
    pub path: PathBuf,
    pub row_group: usize,
    /// The next row, counted in the row group.
    row: u64,
}

/// Makes splits of files.
pub struct RowGroups {
    files: Files,
    schema: Schema,
}

impl RowGroups {
    pub fn new(files: &Files, schema: &Schema) -> Self {
        Self { files: files.clone(), schema: schema.clone() }
    }

    /// All splits of these files; the footer of each is read once.
    pub fn of(&self, files: &[Listed]) -> Result<Vec<RowGroup>, Fault> {
        let mut splits = Vec::new();
        for file in files {
            let content = Content::open(&self.files, &file.path, &self.schema)?;
            let groups = content.metadata.metadata().num_row_groups();
            let place = |row_group| Place { path: file.path.clone(), row_group, row: 0 };
            splits.extend((0..groups).map(|group| RowGroup::new(place(group), content.clone())));
        }
        Ok(splits)
    }

    pub fn parse(&self, position: &Position, split: &SplitState) -> Result<Place, Fault> {
        serde_json::from_value(position.clone()).map_err(|error| {
            Fault::invalid(format!(
                "the checkpoint's position of split `{}` is not one of a Parquet file: {error}",
                split.name
            ))
        })
    }

    pub fn restored(&self, place: Place) -> Result<RowGroup, Fault> {
        let content = Content::open(&self.files, &place.path, &self.schema)?;
        let groups = content.metadata.metadata().row_groups();
        let rows = groups.get(place.row_group).map(|group| group.num_rows().unsigned_abs());
        if rows.is_none_or(|rows| rows < place.row) {
            return Err(Fault::unavailable(format!(
                "`{}` has no row {} in its row group {}, where the checkpoint had come to: it is not the same file any \
                 more",
                place.path.display(),
                place.row,
                place.row_group
            )));
        }
        Ok(RowGroup::new(place, content))
    }
}

/// How many splits a file has.
pub fn count(files: &Files, path: &Path) -> Result<usize, Fault> {
    Ok(footer(&Chunks::open(files, path)?, path)?.metadata().num_row_groups())
}

fn footer(chunks: &Chunks, path: &Path) -> Result<ArrowReaderMetadata, Fault> {
    ArrowReaderMetadata::load(chunks, ArrowReaderOptions::new()).map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable(format!("cannot read `{}` as Parquet: {error}", path.display()))
}

/// A file whose footer has been read.
#[derive(Clone)]
struct Content {
    files: Files,
    metadata: ArrowReaderMetadata,
    columns: Columns,
}

impl Content {
    fn open(files: &Files, path: &Path, schema: &Schema) -> Result<Self, Fault> {
        let metadata = footer(&Chunks::open(files, path)?, path)?;
        let columns = Columns::of(metadata.schema(), schema, path)?;
        Ok(Self { files: files.clone(), metadata, columns })
    }

    /// Reads a row group in batches, from `place` on. `fetch` brings all of it here first, where it is far.
    fn read(&self, place: &Place, batch_rows: usize, fetch: bool) -> Result<ParquetRecordBatchReader, Fault> {
        let mut chunks = Chunks::open(&self.files, &place.path)?;
        let parquet = self.metadata.parquet_schema();
        let mask = ProjectionMask::roots(parquet, self.columns.wanted.iter().copied());
        let group = self.metadata.metadata().row_group(place.row_group);
        if fetch {
            let wanted = (0..group.num_columns()).filter(|leaf| mask.leaf_included(*leaf));
            chunks.fetch(wanted.map(|leaf| group.column(leaf).byte_range()))?;
        }
        ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.metadata.clone())
            .with_row_groups(vec![place.row_group])
            .with_projection(mask)
            .with_offset(place.row as usize)
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| cannot_read(&place.path, &error))
    }

    fn rows(&self, batch: &RecordBatch, place: &Place) -> Result<Rows, Fault> {
        self.columns.rows(batch, place.row).map_err(|error| cannot_read(&place.path, &error))
    }
}

pub struct RowGroup {
    name: SplitName,
    place: Place,
    content: Content,
    state: State,
}

enum State {
    Unopened,
    Open {
        reader: Box<ParquetRecordBatchReader>,
        /// Read, and too many bytes for one answer.
        left: Option<RecordBatch>,
    },
    Ended,
}

impl RowGroup {
    fn new(place: Place, content: Content) -> Self {
        let name = SplitName::from(format!("{}#{}", place.path.display(), place.row_group).as_str());
        Self { name, place, content, state: State::Unopened }
    }

    /// So many rows of a batch that they are about `bytes_max`.
    fn cut(batch: &RecordBatch, limits: ReadLimits) -> usize {
        let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
        let (rows, bytes) = (batch.num_rows(), batch.columns().iter().map(size).sum::<usize>());
        let fitting = if bytes <= limits.bytes_max { rows } else { rows * limits.bytes_max / bytes };
        fitting.clamp(1, limits.rows_max.max(1)).min(rows)
    }
}

impl SplitReader for RowGroup {
    fn name(&self) -> &SplitName {
        &self.name
    }

    fn peek(&mut self) -> Result<Option<Rows>, Fault> {
        if !matches!(self.state, State::Unopened) {
            return Ok(None);
        }
        let mut place = self.place.clone();
        for batch in self.content.read(&place, 1, false)? {
            let batch = batch.map_err(|error| cannot_read(&place.path, &error))?;
            let rows = self.content.rows(&batch, &place)?;
            if rows.refused.is_empty() && batch.num_rows() > 0 {
                return Ok(Some(rows));
            }
            place.row += batch.num_rows() as u64;
        }
        Ok(None)
    }

    fn position(&self) -> Position {
        serde_json::to_value(&self.place).unwrap_or_default()
    }

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault> {
        if matches!(self.state, State::Unopened) {
            let reader = Box::new(self.content.read(&self.place, limits.rows_max.max(1), true)?);
            self.state = State::Open { reader, left: None };
        }
        let State::Open { reader, left } = &mut self.state else { return Ok(Read::End) };
        let batch = match left.take() {
            Some(batch) => Some(batch),
            None => reader.next().transpose().map_err(|error| cannot_read(&self.place.path, &error))?,
        };
        let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) else {
            self.state = State::Ended;
            return Ok(Read::End);
        };
        let taken = Self::cut(&batch, limits);
        if taken < batch.num_rows() {
            *left = Some(batch.slice(taken, batch.num_rows() - taken));
        }
        let rows = self.content.rows(&batch.slice(0, taken), &self.place)?;
        self.place.row += taken as u64;
        Ok(Read::Rows(rows))
    }
}

/// The bytes of a file, wherever it is.
enum Chunks {
    Local(File),
    Object {
        store: Store,
        key: String,
        bytes: u64,
        /// What has been brought here, by where it starts.
        fetched: Vec<(u64, Bytes)>,
    },
}

impl Chunks {
    fn open(files: &Files, path: &Path) -> Result<Self, Fault> {
        if let Files::Local = files {
            return Ok(Self::Local(File::open(path).map_err(|error| unavailable("open", path, &error))?));
        }
        let (store, key) = files.object(path)?;
        Ok(Self::Object { bytes: store.bytes_of(&key)?, store, key, fetched: Vec::new() })
    }

    /// Brings ranges (start, length) of an object here.
    fn fetch(&mut self, ranges: impl Iterator<Item = (u64, u64)>) -> Result<(), Fault> {
        let Self::Object { store, key, fetched, .. } = self else { return Ok(()) };
        for (start, length) in ranges {
            fetched.push((start, Bytes::from(store.get_range(key, start..start + length)?)));
        }
        Ok(())
    }
}

fn held(fetched: &[(u64, Bytes)], start: u64) -> Option<Bytes> {
    let is_in = |(first, bytes): &&(u64, Bytes)| *first <= start && start < first + bytes.len() as u64;
    fetched.iter().find(is_in).map(|(first, bytes)| bytes.slice((start - first) as usize..))
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => Length::len(file),
            Self::Object { bytes, .. } => *bytes,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn std::io::Read + Send>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        match self {
            Self::Local(file) => Ok(Box::new(file.get_read(start)?)),
            Self::Object { store, key, bytes, fetched } => {
                if let Some(bytes) = held(fetched, start) {
                    return Ok(Box::new(bytes.reader()));
                }
                let mut reader = ObjectReader::new(store.clone(), key.clone(), *bytes);
                reader.seek(start);
                Ok(Box::new(reader))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Object { store, key, fetched, .. } => {
                if let Some(bytes) = held(fetched, start).filter(|bytes| bytes.len() >= length) {
                    return Ok(bytes.slice(..length));
                }
                let range = store.get_range(key, start..start + length as u64);
                Ok(Bytes::from(range.map_err(|fault| ParquetError::General(fault.message))?))
            }
        }
    }
}
