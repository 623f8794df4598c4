//! A generator's events as a file: what `wasmill generate` writes.

use std::io::{self, Write};

use arrow_array::RecordBatch;

use crate::connectors::format::encode::RowEncoder;
use crate::model::fault::Fault;
use crate::plan::connector::{GeneratorSource, SinkFormat};

use super::{Maker, Numbers, columns};

const ROWS: u64 = 4096;

/// Writes all columns of events 0 to `count` in order, in one split and without a rate, and returns how many. Without
/// `count` it goes on until `out` fails.
pub fn write_events(source: &GeneratorSource, format: SinkFormat, out: &mut dyn Write) -> Result<u64, Fault> {
    let schema = columns(&source.events);
    let mut maker = Maker::new(source, &schema)?;
    let encoder = RowEncoder::new(format, &schema).map_err(Fault::invalid)?;
    let invalid = |error: arrow_schema::ArrowError| Fault::invalid(error.to_string());
    let count = source.count.unwrap_or(u64::MAX);
    let mut buffer = Vec::new();
    encoder.header(&mut buffer).map_err(invalid)?;
    let mut written = 0;
    while written < count {
        let rows = ROWS.min(count - written);
        let made = maker.make(Numbers { first: written, step: 1, count: rows as usize });
        let records = RecordBatch::try_new(schema.arrow().clone(), made).map_err(invalid)?;
        encoder.encode_records(&records, &mut buffer).map_err(invalid)?;
        out.write_all(&buffer).map_err(unavailable)?;
        buffer.clear();
        written += rows;
    }
    out.write_all(&buffer).and_then(|()| out.flush()).map_err(unavailable)?;
    Ok(written)
}

fn unavailable(error: io::Error) -> Fault {
    Fault::unavailable(format!("cannot write the events: {error}"))
}
