//! A range of a file. It owns the events that start in it, so it reads beyond its end to finish the last one, and a range
//! that does not start the file begins behind the first line end that it finds.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::connectors::format::framing::{Framing, Resume, Stopped};
use crate::connectors::format::{EVENT_BYTES_MAX, decoder};
use crate::dataplane::split::{Position, Read, ReadLimits, Rows, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::SplitName;
use crate::model::schema::Schema;
use crate::plan::connector::{FileSource, Format};

use super::files::{FileReader, Files};
use super::paths::Listed;
use super::unavailable;

const READ_BYTES: usize = 256 << 10;
/// The first event is mostly near.
const PEEK_BYTES: usize = 16 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A split before it is opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Of an object its URL.
    pub path: PathBuf,
    pub start: u64,
    /// `None` = the file's end.
    pub end: Option<u64>,
}

/// What a checkpoint keeps of a split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    #[serde(flatten)]
    pub range: Range,
    /// `None` = nothing of it has been read.
    pub at: Option<Resume>,
}

impl Place {
    pub fn parse(position: &Position, split: &SplitState) -> Result<Self, Fault> {
        serde_json::from_value(position.clone()).map_err(|error| {
            Fault::invalid(format!("the checkpoint's position of split `{}` is not one of a file: {error}", split.name))
        })
    }

    /// Whether the file still has the bytes that were read of it.
    pub fn check(&self, files: &Files) -> Result<(), Fault> {
        let path = &self.range.path;
        let bytes = files.bytes_of(path)?;
        match self.at {
            Some(at) if at.offset > bytes => Err(Fault::unavailable(format!(
                "`{}` has {bytes} bytes, but {} of it had been read at the checkpoint: it is not the same file any more",
                path.display(),
                at.offset
            ))),
            _ => Ok(()),
        }
    }
}

/// How many splits a file of so many bytes is cut into; an empty one is a split too.
pub fn count(file_bytes: u64, source: &FileSource) -> usize {
    let is_cut = !matches!(&source.format, Format::Csv(csv) if csv.multiline);
    if is_cut { file_bytes.div_ceil(source.split_bytes.max(1)).max(1) as usize } else { 1 }
}

pub fn cut(file: &Listed, source: &FileSource) -> impl Iterator<Item = Range> + use<> {
    let (path, count, split_bytes) = (file.path.clone(), count(file.bytes, source) as u64, source.split_bytes.max(1));
    (0..count).map(move |i| Range {
        path: path.clone(),
        start: i * split_bytes,
        end: (i + 1 < count).then_some((i + 1) * split_bytes),
    })
}

pub struct FileSplit {
    name: SplitName,
    range: Range,
    files: Files,
    format: Format,
    schema: Schema,
    state: State,
}

enum State {
    /// To be opened where a checkpoint left it, or at its start.
    Unopened(Option<Resume>),
    Open(Box<Open>),
    /// A checkpoint may come before this has been said.
    Ended(Option<Resume>),
}

/// A file that is being read.
pub struct Open {
    pub file: FileReader,
    pub framing: Framing,
}

impl FileSplit {
    pub fn new(range: Range, files: &Files, format: &Format, schema: &Schema) -> Self {
        Self::restored(Place { range, at: None }, files, format, schema)
    }

    /// As a checkpoint left it.
    pub fn restored(place: Place, files: &Files, format: &Format, schema: &Schema) -> Self {
        let Place { range, at } = place;
        let name = name(&range);
        let (files, format, schema) = (files.clone(), format.clone(), schema.clone());
        Self { name, range, files, format, schema, state: State::Unopened(at) }
    }

    fn fault(&self, error: &io::Error) -> Fault {
        unavailable("read", &self.range.path, error)
    }
}

pub fn name(range: &Range) -> SplitName {
    SplitName::from(format!("{}@{}", range.path.display(), range.start).as_str())
}

impl Open {
    /// Opens the range for reading pieces of `buffer_bytes`, at its start or where a checkpoint left it.
    pub fn new(
        range: &Range,
        files: &Files,
        at: Option<Resume>,
        format: &Format,
        schema: &Schema,
        buffer_bytes: usize,
    ) -> Result<Self, Fault> {
        let fault = |error: io::Error| unavailable("read", &range.path, &error);
        let mut file = files.open(&range.path)?;
        let preamble = Preamble::read(&mut file, format).map_err(fault)?;
        let invalid = |error: String| Fault::invalid(format!("`{}`: {error}", range.path.display()));
        if preamble.is_cut {
            return Err(invalid(format!("the header line is longer than {EVENT_BYTES_MAX} bytes")));
        }
        let decoder = decoder(format, schema, preamble.header.as_deref()).map_err(invalid)?;
        let end = range.end.unwrap_or(u64::MAX);
        // One byte earlier: a line that starts where the range starts is ours.
        let at = at.unwrap_or(match range.start {
            start if start <= preamble.bytes => Resume { offset: preamble.bytes, inside_a_line: false },
            start => Resume { offset: start - 1, inside_a_line: true },
        });
        file.seek(at.offset).map_err(fault)?;
        let framing = Framing::new(decoder, buffer_bytes, at.offset).end_at(end);
        Ok(Self { file, framing: if at.inside_a_line { framing.skip_line() } else { framing } })
    }

    /// Reads a piece; 0 = the file ends here.
    pub fn fill(&mut self) -> io::Result<usize> {
        self.framing.fill(|free| {
            loop {
                match self.file.read(free) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return read,
                }
            }
        })
    }

    /// Decodes until the limits are reached or everything is decoded.
    fn decode(&mut self, limits: ReadLimits) -> io::Result<Stopped> {
        loop {
            match self.framing.decode(limits) {
                Stopped::Hungry if self.fill()? == 0 => self.framing.end_input(),
                Stopped::Hungry => {}
                stopped => return Ok(stopped),
            }
        }
    }
}

impl SplitReader for FileSplit {
    fn name(&self) -> &SplitName {
        &self.name
    }

    fn peek(&mut self) -> Result<Option<Rows>, Fault> {
        let State::Unopened(at) = self.state else { return Ok(None) };
        let mut open = Open::new(&self.range, &self.files, at, &self.format, &self.schema, PEEK_BYTES)?;
        let one = ReadLimits { rows_max: 1, bytes_max: usize::MAX };
        loop {
            let stopped = open.decode(one).map_err(|error| self.fault(&error))?;
            let is_good = open.framing.decoded().len() > 0;
            let rows = open.framing.decoded().finish();
            if is_good {
                // What is refused on the way is reported when it is read.
                return Ok(Some(Rows { refused: Vec::new(), ..rows }));
            }
            if stopped == Stopped::Ended {
                return Ok(None);
            }
        }
    }

    fn position(&self) -> Position {
        let at = match &self.state {
            State::Unopened(at) => *at,
            State::Open(open) => Some(open.framing.resume_at()),
            State::Ended(at) => *at,
        };
        let place = Place { range: self.range.clone(), at };
        serde_json::to_value(place).unwrap_or_default()
    }

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault> {
        if let State::Unopened(at) = self.state {
            let open = Open::new(&self.range, &self.files, at, &self.format, &self.schema, READ_BYTES)?;
            self.state = State::Open(Box::new(open));
        }
        let State::Open(open) = &mut self.state else { return Ok(Read::End) };
        let stopped = open.decode(limits).map_err(|error| unavailable("read", &self.range.path, &error))?;
        let events = open.framing.decoded().events();
        let rows = (events > 0).then(|| open.framing.decoded().finish());
        if stopped == Stopped::Ended {
            self.state = State::Ended(Some(open.framing.resume_at()));
        }
        Ok(match rows {
            Some(rows) => Read::Rows(rows),
            None if stopped == Stopped::Ended => Read::End,
            None => Read::Pending,
        })
    }
}

/// What stands before a file's first event.
struct Preamble {
    bytes: u64,
    /// The line that names the columns.
    header: Option<Vec<u8>>,
    /// The line goes on where no event may.
    is_cut: bool,
}

impl Preamble {
    fn read(file: &mut FileReader, format: &Format) -> io::Result<Self> {
        let is_text = !matches!(format, Format::Raw);
        let has_header = matches!(format, Format::Csv(csv) if csv.header);
        let mut start = BufReader::with_capacity(4 << 10, file).take(EVENT_BYTES_MAX as u64);
        let marked = is_text && start.fill_buf()?.starts_with(BYTE_ORDER_MARK);
        let mark = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        start.consume(mark);
        let mut header = Vec::new();
        if has_header {
            start.read_until(b'\n', &mut header)?;
        }
        let bytes = (mark + header.len()) as u64;
        let line = header.trim_ascii_end().to_vec();
        let is_cut = bytes == EVENT_BYTES_MAX as u64 && !header.ends_with(b"\n");
        Ok(Self { bytes, header: has_header.then_some(line), is_cut })
    }
}
