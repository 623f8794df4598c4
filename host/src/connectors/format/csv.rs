//! CSV: a record on each line, or over several lines where quoted fields may hold line ends.
//!
//! `text.rs` has the forms of values; integers, floats (also `NaN`, `inf`), `true` and `false` are written as usual. An
//! empty field is null in a column that allows it, and otherwise an empty text or bytes; a quoted empty field is an empty text or
//! empty bytes in any case. Empty lines are passed over.

mod record;
mod value;

#[cfg(test)]
mod tests;

use crate::dataplane::split::ReadLimits;
use crate::model::schema::Schema;
use crate::plan::connector::CsvFormat;

use super::{Decoder, EVENT_BYTES_MAX, EXCERPT_BYTES, Input, RowsBuilder, decode_lines, is_flat, too_long};

use record::{Record, RecordReader, Unclosed};

pub struct CsvDecoder {
    rows: RowsBuilder,
    reader: RecordReader,
    record: Record,
    /// The column of each field of a record, if the schema has it.
    columns: Vec<Option<usize>>,
    /// Columns that no field is for: they are nullable.
    absent: Vec<usize>,
    multiline: bool,
}

impl CsvDecoder {
    pub fn new(format: &CsvFormat, schema: &Schema, header: Option<&[u8]>) -> Result<Self, String> {
        if let Some(nested) = schema.fields().iter().find(|field| !is_flat(&field.data_type)) {
            return Err(format!("CSV has no lists and structs: column `{nested}` cannot be read from it"));
        }
        let mut reader = RecordReader::new(format.delimiter);
        let columns = match header {
            None => (0..schema.fields().len()).map(Some).collect(),
            Some(header) => columns_of(header, &mut reader, schema)?,
        };
        let absent = (0..schema.fields().len()).filter(|i| !columns.contains(&Some(*i))).collect();
        let record = Record::default();
        Ok(Self { rows: RowsBuilder::new(schema), reader, record, columns, absent, multiline: format.multiline })
    }

    fn line(&mut self, line: &[u8], offset: u64) {
        if line.is_empty() {
            return;
        }
        match self.reader.read_line(line, &mut self.record) {
            Ok(()) => self.record(line, offset),
            Err(Unclosed) => {
                let reason = "a quote is not closed; if quoted fields may hold line ends, set `multiline = true`";
                self.rows.refuse(offset, reason.to_owned(), line);
            }
        }
    }

    /// Decodes the record that was read, and whose bytes are `event`.
    fn record(&mut self, event: &[u8], offset: u64) {
        match self.fields() {
            Ok(()) => self.rows.accept(offset),
            Err(reason) => self.rows.refuse(offset, reason, event),
        }
    }

    fn fields(&mut self) -> Result<(), String> {
        if self.record.fields() != self.columns.len() {
            return Err(format!("{} fields instead of {}", self.record.fields(), self.columns.len()));
        }
        for (i, column) in self.columns.iter().enumerate() {
            if let Some(column) = column {
                let column = &mut self.rows.columns[*column];
                let (field, quoted) = self.record.field(i);
                value::push(column, field, quoted)
                    .map_err(|error| format!("column `{}`: {error}", column.field.name))?;
            }
        }
        for column in &self.absent {
            self.rows.columns[*column].push_null();
        }
        Ok(())
    }

    /// Records of any number of lines.
    fn decode_multiline(&mut self, input: Input<'_>, limits: ReadLimits) -> usize {
        let mut at = 0;
        while self.rows.events() < limits.rows_max && at < limits.bytes_max {
            let rest = &input.bytes[at..];
            let blank = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
            if blank > 0 {
                at += blank;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let Ok(Some(taken)) = self.reader.read(rest, input.is_last, &mut self.record) else { break };
            let event = rest[..taken].trim_ascii_end();
            let offset = input.offset + at as u64;
            if event.len() > EVENT_BYTES_MAX {
                self.rows.refuse(offset, too_long(), &event[..EXCERPT_BYTES]);
            } else {
                self.record(event, offset);
            }
            at += taken;
        }
        at
    }
}

/// The schema's column for each name of a header.
fn columns_of(header: &[u8], reader: &mut RecordReader, schema: &Schema) -> Result<Vec<Option<usize>>, String> {
    let mut record = Record::default();
    if header.is_empty() {
        return Err("the header line is empty".to_owned());
    }
    reader.read_line(header, &mut record).map_err(|_| "the header line has a quote that is not closed")?;
    let names: Vec<String> =
        (0..record.fields()).map(|i| String::from_utf8_lossy(record.field(i).0).trim().to_owned()).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(format!("the header names the column `{name}` twice"));
        }
    }
    let missing = schema.fields().iter().find(|field| !field.nullable && !names.contains(&field.name));
    if let Some(missing) = missing {
        let names = names.join(", ");
        return Err(format!(
            "the header has no column `{}`: it has {names}; without a header line, set `header = false`",
            missing.name
        ));
    }
    Ok(names.iter().map(|name| schema.index_of(name)).collect())
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, input: Input<'_>, limits: ReadLimits) -> usize {
        self.rows.reserve(limits.rows_max.min(input.bytes.len()));
        if self.multiline {
            self.decode_multiline(input, limits)
        } else {
            decode_lines(self, input, limits, Self::line)
        }
    }

    fn decode_event(&mut self, event: &[u8], offset: u64) {
        let blank = event.is_empty() || event.starts_with(b"\n") || event.starts_with(b"\r\n");
        let refused = if blank {
            "it is empty"
        } else {
            match self.reader.read(event, true, &mut self.record) {
                Ok(Some(taken)) if event[taken..].trim_ascii().is_empty() => return self.record(event, offset),
                Ok(_) => "it is more than one record",
                Err(Unclosed) => "a quote is not closed",
            }
        };
        self.rows.refuse(offset, refused.to_owned(), event);
    }

    fn decoded(&mut self) -> &mut RowsBuilder {
        &mut self.rows
    }

    fn unended(&self) -> String {
        if self.multiline {
            format!(
                "a quote is not closed before the end or within {EVENT_BYTES_MAX} bytes; reading goes on with the next line"
            )
        } else {
            too_long()
        }
    }
}
