//! How the bytes of events become rows, and rows bytes.

pub mod column;
pub mod csv;
pub mod encode;
pub mod framing;
pub mod json;
pub mod parquet;
pub mod raw;

mod rows;
mod text;

#[cfg(test)]
mod round_trip_tests;

use crate::dataplane::split::ReadLimits;
use crate::model::schema::{DataType, Schema};
use crate::plan::connector::Format;

pub use rows::RowsBuilder;

/// An event longer than this is refused, so that a file without line ends cannot take the memory.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// So much of an event that is too long is kept for its dead letter.
const EXCERPT_BYTES: usize = 1 << 10;

/// A part of a stream of events.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Starts where an event starts.
    pub bytes: &'a [u8],
    /// Where that is in the split.
    pub offset: u64,
    /// The last event is whole, although nothing may end it.
    pub is_last: bool,
}

/// Makes rows of events.
pub trait Decoder: Send {
    /// Decodes whole events from the start of `input` until the limits are reached, and returns the bytes that they
    /// took. Nothing of an event that is not whole is taken.
    fn decode(&mut self, input: Input<'_>, limits: ReadLimits) -> usize;

    /// Decodes one whole event, whatever line ends are in it: afterwards there is one row more, or one refused event.
    fn decode_event(&mut self, event: &[u8], offset: u64);

    /// What has been decoded and not been taken yet.
    fn decoded(&mut self) -> &mut RowsBuilder;

    /// What is wrong with an event that has no end.
    fn unended(&self) -> String {
        too_long()
    }
}

/// The decoder for a schema. `header` is a CSV file's first line, if it has one. The error is about the settings.
pub fn decoder(format: &Format, schema: &Schema, header: Option<&[u8]>) -> Result<Box<dyn Decoder>, String> {
    Ok(match format {
        Format::Json => Box::new(json::JsonDecoder::new(schema)),
        Format::Csv(format) => Box::new(csv::CsvDecoder::new(format, schema, header)?),
        Format::Raw => Box::new(raw::RawDecoder::new(schema)?),
        Format::Parquet => return Err("Parquet files are read by row groups, not by events".to_owned()),
    })
}

fn too_long() -> String {
    format!("longer than {EVENT_BYTES_MAX} bytes")
}

/// CSV has a text for each of these.
fn is_flat(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::List(_) | DataType::Struct(_))
}

/// A line without its end, and the bytes up to the next one. `None` = there is no whole line.
#[inline]
fn next_line(bytes: &[u8], is_last: bool) -> Option<(&[u8], usize)> {
    let (line, taken) = match memchr::memchr(b'\n', bytes) {
        Some(end) => (&bytes[..end], end + 1),
        None if is_last && !bytes.is_empty() => (bytes, bytes.len()),
        None => return None,
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), taken))
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// For events that are lines: calls `decode_line` (with the line and its offset) for every whole line within the limits,
/// blank ones and too long ones aside.
fn decode_lines<D>(
    decoder: &mut D,
    input: Input<'_>,
    limits: ReadLimits,
    mut decode_line: impl FnMut(&mut D, &[u8], u64),
) -> usize
where
    D: Decoder,
{
    let mut at = 0;
    while decoder.decoded().events() < limits.rows_max && at < limits.bytes_max {
        let Some((line, taken)) = next_line(&input.bytes[at..], input.is_last) else { break };
        let offset = input.offset + at as u64;
        if line.len() > EVENT_BYTES_MAX {
            decoder.decoded().refuse(offset, too_long(), &line[..EXCERPT_BYTES]);
        } else {
            decode_line(decoder, line, offset);
        }
        at += taken;
    }
    at
}
