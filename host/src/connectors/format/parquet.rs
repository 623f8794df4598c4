//! Rows as a Parquet file, by the parquet crate's writer.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as Codec;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::plan::connector::{Compression, ParquetFormat};

/// One file. A row group is in memory, encoded, until it is large enough.
pub struct ParquetEncoder {
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetEncoder {
    /// The error says what the format cannot write.
    pub fn new(format: ParquetFormat, schema: &SchemaRef) -> Result<Self, String> {
        let codec = match format.compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Snappy => Codec::SNAPPY,
            Compression::Gzip => Codec::GZIP(Default::default()),
            Compression::Lz4 => Codec::LZ4_RAW,
            Compression::Zstd => Codec::ZSTD(Default::default()),
        };
        let row_group_bytes = usize::try_from(format.row_group_bytes).unwrap_or(usize::MAX);
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_bytes(Some(row_group_bytes))
            .set_created_by("wasmill".to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties));
        Ok(Self { writer: writer.map_err(|error| format!("Parquet cannot hold these columns: {error}"))? })
    }

    /// Bytes that the rows in memory will be, about.
    pub fn unwritten_bytes(&self) -> u64 {
        self.writer.in_progress_size() as u64
    }

    /// Appends to `out` what is final.
    pub fn encode(&mut self, records: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        self.writer.write(records)?;
        out.append(self.writer.inner_mut());
        Ok(())
    }

    /// The rest of the file. Nothing follows.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        self.writer.finish()?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
}
