//! The fields of one record.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder, Terminator};

/// Fields without their quotes, one after the other.
#[derive(Default)]
pub struct Record {
    text: Vec<u8>,
    /// The end of each field in `text`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
}

pub struct RecordReader {
    reader: Reader,
}

/// The record is still inside of quotes at the end of the input.
#[derive(Debug)]
pub struct Unclosed;

impl Record {
    pub fn fields(&self) -> usize {
        self.ends.len()
    }

    pub fn field(&self, i: usize) -> (&[u8], bool) {
        let start = if i == 0 { 0 } else { self.ends[i - 1].0 };
        let (end, quoted) = self.ends[i];
        (&self.text[start..end], quoted)
    }
}

impl RecordReader {
    pub fn new(delimiter: u8) -> Self {
        Self { reader: ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build() }
    }

    /// Reads the record at the start of `input`, which does not start with a line end, and returns the bytes that it
    /// takes with its line end. `None` = it is not whole; with `is_last`, the input's end ends it.
    pub fn read(&mut self, input: &[u8], is_last: bool, record: &mut Record) -> Result<Option<usize>, Unclosed> {
        self.reader.reset();
        record.ends.clear();
        let (mut at, mut start, mut written) = (0, 0, 0);
        let mut ended = false;
        loop {
            let bytes = if ended { b"\n" } else { &input[at..] };
            let (result, taken, put) = self.reader.read_field(bytes, &mut record.text[written..]);
            at += if ended { 0 } else { taken };
            written += put;
            match result {
                ReadFieldResult::OutputFull => record.text.resize((record.text.len() * 2).max(1024), 0),
                ReadFieldResult::InputEmpty if !is_last => return Ok(None),
                // A line end is all that may be missing.
                ReadFieldResult::InputEmpty if ended => return Err(Unclosed),
                ReadFieldResult::InputEmpty => ended = true,
                ReadFieldResult::Field { record_end } => {
                    record.ends.push((written, input.get(start) == Some(&b'"')));
                    start = at;
                    if record_end {
                        break;
                    }
                }
                ReadFieldResult::End => break,
            }
        }
        record.strip_carriage_return(&input[..at]);
        Ok(Some(at))
    }
}

impl Record {
    /// Of a line end in `input` only the `\n` is known to the reader.
    fn strip_carriage_return(&mut self, input: &[u8]) {
        if !input.ends_with(b"\r\n") {
            return;
        }
        let start = self.ends.len().checked_sub(2).map_or(0, |i| self.ends[i].0);
        if let Some((end, _)) = self.ends.last_mut()
            && *end > start
            && self.text[*end - 1] == b'\r'
        {
            *end -= 1;
        }
    }
}
