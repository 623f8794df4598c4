//! The fields of one record.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder, Terminator};

/// Fields without their quotes.
#[derive(Default)]
pub struct Record {
    text: Vec<u8>,
    fields: Vec<Span>,
}

/// A part of the text.
struct Span {
    start: usize,
    end: usize,
    quoted: bool,
}

pub struct RecordReader {
    reader: Reader,
    delimiter: u8,
}

/// The record is still inside of quotes at the end of the input.
#[derive(Debug)]
pub struct Unclosed;

impl Record {
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Its bytes, and whether they were quoted.
    #[inline]
    pub fn field(&self, i: usize) -> (&[u8], bool) {
        let Span { start, end, quoted } = self.fields[i];
        (&self.text[start..end], quoted)
    }

    /// Of a line end only the `\n` is known to the reader.
    fn strip_carriage_return(&mut self) {
        if let Some(last) = self.fields.last_mut()
            && self.text[last.start..last.end].ends_with(b"\r")
        {
            last.end -= 1;
        }
    }
}

impl RecordReader {
    pub fn new(delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self { reader, delimiter }
    }

    /// Reads the record that is `line`, which is not empty and has no line end.
    pub fn read_line(&mut self, line: &[u8], record: &mut Record) -> Result<(), Unclosed> {
        if memchr::memchr(b'"', line).is_some() {
            return self.read(line, true, record).map(drop);
        }
        record.text.clear();
        record.text.extend_from_slice(line);
        record.fields.clear();
        let mut start = 0;
        for end in memchr::memchr_iter(self.delimiter, line).chain([line.len()]) {
            record.fields.push(Span { start, end, quoted: false });
            start = end + 1;
        }
        Ok(())
    }

    /// Reads the record at the start of `input`, which is not empty and does not start with a line end, and returns the
    /// bytes that it takes with its line end. `None` = it is not whole; with `is_last`, the input's end ends it.
    pub fn read(&mut self, input: &[u8], is_last: bool, record: &mut Record) -> Result<Option<usize>, Unclosed> {
        self.reader.reset();
        record.fields.clear();
        let (mut at, mut start, mut written, mut written_start) = (0, 0, 0, 0);
        let mut ended = false;
        loop {
            if at == input.len() && !ended {
                if !is_last {
                    return Ok(None);
                }
                // A line end is all that may be missing.
                ended = true;
            }
            let bytes = if ended { b"\n" } else { &input[at..] };
            let (result, taken, put) = self.reader.read_field(bytes, &mut record.text[written..]);
            at += if ended { 0 } else { taken };
            written += put;
            match result {
                ReadFieldResult::OutputFull => record.text.resize((record.text.len() * 2).max(1024), 0),
                ReadFieldResult::InputEmpty if ended => return Err(Unclosed),
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::Field { record_end } => {
                    let quoted = input.get(start) == Some(&b'"');
                    record.fields.push(Span { start: written_start, end: written, quoted });
                    (start, written_start) = (at, written);
                    if record_end {
                        break;
                    }
                }
                ReadFieldResult::End => break,
            }
        }
        if input[..at].ends_with(b"\r\n") {
            record.strip_carriage_return();
        }
        Ok(Some(at))
    }
}
