//! Rows as lines of standard output. A batch is written whole, so the lines of slots do not mix.

use std::io::{self, ErrorKind, Write};

use crate::connectors::format::encode::RowEncoder;
use crate::dataplane::sink_writer::SinkWriter;
use crate::model::batch::Batch;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::schema::Schema;
use crate::plan::connector::SinkFormat;

pub struct StdoutWriter<W> {
    encoder: RowEncoder,
    buffer: Vec<u8>,
    out: W,
}

impl<W: Write> StdoutWriter<W> {
    /// Slot 0 writes the header.
    pub fn open(out: W, format: SinkFormat, schema: &Schema, slot: Slot) -> Result<Self, Fault> {
        let encoder = RowEncoder::new(format, schema).map_err(Fault::invalid)?;
        let mut writer = Self { encoder, buffer: Vec::new(), out };
        if slot.0 == 0 {
            writer.encoder.header(&mut writer.buffer).map_err(|error| Fault::invalid(error.to_string()))?;
            writer.write_out()?;
        }
        Ok(writer)
    }

    fn write_out(&mut self) -> Result<(), Fault> {
        // One call, so that standard output is locked once.
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| fault(&error))
    }
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::BrokenPipe => Fault::unavailable("stdout was closed"),
        _ => Fault::unavailable(format!("cannot write to stdout: {error}")),
    }
}

impl<W: Write + Send> SinkWriter for StdoutWriter<W> {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.encoder.encode(batch, &mut self.buffer).map_err(|error| Fault::invalid(error.to_string()))?;
        self.write_out()
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.out.flush().map_err(|error| fault(&error))
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch};

    use super::*;
    use crate::model::batch::Provenance;
    use crate::model::schema::{DataType, Field};

    fn numbers() -> (Schema, Batch) {
        let schema = Schema::new([Field::new("n", DataType::I64)]);
        let column = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let records = RecordBatch::try_new(schema.arrow().clone(), vec![column]).unwrap();
        (schema, Batch::new(records, vec![0; 3].into(), Provenance::default()))
    }

    #[test]
    fn only_selected_rows_are_written_below_one_header() {
        let (schema, batch) = numbers();
        let mut writer = StdoutWriter::open(Vec::new(), SinkFormat::Csv, &schema, Slot(0)).unwrap();
        writer.write(&batch.select(vec![0, 2])).unwrap();
        writer.write(&batch.select(vec![1])).unwrap();
        writer.finish().unwrap();
        assert_eq!(String::from_utf8(writer.out).unwrap(), "n\n1\n3\n2\n");
        let other = StdoutWriter::open(Vec::new(), SinkFormat::Csv, &schema, Slot(1)).unwrap();
        assert!(other.out.is_empty());
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_stdout_is_said_plainly() {
        let (schema, batch) = numbers();
        let mut writer = StdoutWriter::open(Closed, SinkFormat::Json, &schema, Slot(0)).unwrap();
        assert_eq!(writer.write(&batch), Err(Fault::unavailable("stdout was closed")));
    }
}
