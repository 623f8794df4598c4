//! A line is an event: its text, or its bytes.

use crate::dataplane::split::ReadLimits;
use crate::model::schema::{DataType, Schema};

use super::column::Values;
use super::{Decoder, Input, RowsBuilder, decode_lines};

pub struct RawDecoder {
    rows: RowsBuilder,
}

impl RawDecoder {
    pub fn new(schema: &Schema) -> Result<Self, String> {
        match schema.fields() {
            [] => {}
            [field] if matches!(field.data_type, DataType::Text | DataType::Bytes) => {}
            _ => return Err(format!("format `raw` gives one column of text or bytes, not `{schema}`")),
        }
        Ok(Self { rows: RowsBuilder::new(schema) })
    }

    fn line(&mut self, line: &[u8], offset: u64) {
        let Some(column) = self.rows.columns.first_mut() else { return self.rows.accept(offset) };
        match &mut column.values {
            Values::Text(runs) => match std::str::from_utf8(line) {
                Ok(line) => runs.push(line.as_bytes()),
                Err(error) => {
                    let reason = format!("not UTF-8 at byte {} of the line", error.valid_up_to());
                    return self.rows.refuse(offset, reason, line);
                }
            },
            Values::Bytes(runs) => runs.push(line),
            _ => unreachable!("the column's type was checked"),
        }
        column.commit();
        self.rows.accept(offset);
    }
}

impl Decoder for RawDecoder {
    fn decode(&mut self, input: Input<'_>, limits: ReadLimits) -> usize {
        self.rows.reserve(limits.rows_max.min(input.bytes.len()));
        decode_lines(self, input, limits, Self::line)
    }

    fn decode_event(&mut self, event: &[u8], offset: u64) {
        self.line(event, offset);
    }

    fn decoded(&mut self) -> &mut RowsBuilder {
        &mut self.rows
    }
}
