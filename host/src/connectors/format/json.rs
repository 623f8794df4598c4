//! JSON lines: an object on each line, decoded straight into columns.
//!
//! Only the schema's columns are decoded; other fields are passed over, and of them only the syntax is checked. Numbers
//! must be JSON numbers that fit (`1.0` is not an integer), decimals may be texts too; `text.rs` has the forms of the
//! types that JSON writes as texts; durations are whole microseconds. A missing field is null. A field that stands
//! twice is refused, and so is anything behind the object. Blank lines are passed over.

mod object;
mod value;

#[cfg(test)]
mod tests;

use serde::de::DeserializeSeed;
use serde_json::Deserializer;
use serde_json::error::Category;

use crate::dataplane::split::ReadLimits;
use crate::model::schema::Schema;

use super::text::shorten;
use super::{Decoder, Input, RowsBuilder, decode_lines, is_blank};

use object::{Object, Path};

pub struct JsonDecoder {
    rows: RowsBuilder,
}

impl JsonDecoder {
    pub fn new(schema: &Schema) -> Self {
        Self { rows: RowsBuilder::new(schema) }
    }

    fn line(&mut self, line: &[u8], offset: u64) {
        match std::str::from_utf8(line) {
            Ok(line) => self.text(line, offset),
            Err(error) => {
                let reason = format!("not UTF-8 at byte {} of the line", error.valid_up_to());
                self.rows.refuse(offset, reason, line);
            }
        }
    }

    fn text(&mut self, line: &str, offset: u64) {
        let mut path = Path::default();
        let mut json = Deserializer::from_str(line);
        let row = self.rows.len();
        let object = Object { columns: &mut self.rows.columns, row, path: &mut path };
        match object.deserialize(&mut json).and_then(|()| json.end()) {
            Ok(()) => self.rows.accept(offset),
            Err(_) if is_blank(line.as_bytes()) => {}
            Err(error) => self.rows.refuse(offset, reason(&error, &path), line.as_bytes()),
        }
    }
}

#[cold]
fn reason(error: &serde_json::Error, path: &Path) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let what = shorten(message.strip_suffix(&position).unwrap_or(&message));
    let whose = path.column();
    match error.classify() {
        Category::Data => format!("{whose}{what}"),
        Category::Eof => format!("{whose}not whole JSON: {what}"),
        Category::Syntax | Category::Io => format!("{whose}not JSON: {what} at byte {} of the line", error.column()),
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, input: Input<'_>, limits: ReadLimits) -> usize {
        self.rows.reserve(limits.rows_max.min(input.bytes.len()));
        decode_lines(self, input, limits, Self::line)
    }

    fn decode_event(&mut self, event: &[u8], offset: u64) {
        if is_blank(event) {
            self.rows.refuse(offset, "not JSON: it is empty".to_owned(), event);
        } else {
            self.line(event, offset);
        }
    }

    fn decoded(&mut self) -> &mut RowsBuilder {
        &mut self.rows
    }
}
