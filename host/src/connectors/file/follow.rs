//! Files that grow, and new ones beside them. A file is one split, of the slot that its path hashes to.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::connectors::format::EVENT_BYTES_MAX;
use crate::connectors::format::framing::{Resume, Stopped};
use crate::dataplane::split::{Position, Read, ReadLimits, Rows, SplitEnumerator, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot, SplitName};
use crate::model::schema::Schema;
use crate::model::time::Micros;
use crate::plan::connector::{FileSource, Format};

use super::files::Files;
use super::paths::absolute;
use super::split::{Open, Place, Range, name};
use super::unavailable;

const READ_BYTES: usize = 64 << 10;

pub struct Follow {
    source: FileSource,
    schema: Schema,
    slot: Slot,
    slots: Parallelism,
    /// Absolute.
    known: HashSet<PathBuf>,
}

impl Follow {
    pub fn new(source: &FileSource, schema: &Schema, slot: Slot, slots: Parallelism) -> Self {
        Self { source: source.clone(), schema: schema.clone(), slot, slots, known: HashSet::new() }
    }

    /// Whether the file is this slot's and was not known; from now on it is, however the path of the source calls it.
    fn is_new(&mut self, path: &Path) -> Result<bool, Fault> {
        let path = absolute(path)?;
        let hash = xxh3_64(path.as_os_str().as_encoded_bytes());
        Ok(hash % u64::from(self.slots.get()) == u64::from(self.slot.0) && self.known.insert(path))
    }
}

impl SplitEnumerator for Follow {
    fn restore(&mut self, splits: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        let mut left: Vec<Box<dyn SplitReader>> = Vec::new();
        for split in splits {
            let Some(position) = &split.position else { continue };
            let place = Place::parse(position, split)?;
            if self.is_new(&place.range.path)? {
                place.check(&Files::Local)?;
                left.push(Box::new(FollowedFile::new(place, &self.source, &self.schema)));
            }
        }
        Ok(left)
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        let mut found: Vec<Box<dyn SplitReader>> = Vec::new();
        for file in Files::Local.list(&self.source)? {
            if self.is_new(&file.path)? {
                let place = Place { range: Range { path: file.path, start: 0, end: None }, at: None };
                found.push(Box::new(FollowedFile::new(place, &self.source, &self.schema)));
            }
        }
        Ok(found)
    }

    fn discover_interval(&self) -> Option<Micros> {
        Some(self.source.discover_interval)
    }
}

struct FollowedFile {
    name: SplitName,
    range: Range,
    format: Format,
    schema: Schema,
    interval: Duration,
    /// Where to open it, when that is not its start.
    at: Option<Resume>,
    open: Option<Open>,
    /// Bytes read so far.
    read: u64,
    /// The file's end was reached: nothing is asked of it before.
    look_at: Option<Instant>,
}

impl FollowedFile {
    fn new(place: Place, source: &FileSource, schema: &Schema) -> Self {
        Self {
            name: name(&place.range),
            range: place.range,
            at: place.at,
            format: source.format.clone(),
            schema: schema.clone(),
            interval: source.discover_interval.into(),
            open: None,
            read: 0,
            look_at: None,
        }
    }

    fn fault(&self, error: &io::Error) -> Fault {
        unavailable("read", &self.range.path, error)
    }

    /// Opens the file when there is something in it: a header may come later than its file.
    fn open(&mut self) -> Result<Option<&mut Open>, Fault> {
        if self.open.is_none() {
            if !self.has_first_line().map_err(|error| self.fault(&error))? {
                return Ok(None);
            }
            let open = Open::new(&self.range, &Files::Local, self.at, &self.format, &self.schema, READ_BYTES)?;
            self.read = open.framing.next_offset();
            self.open = Some(open);
        }
        Ok(self.open.as_mut())
    }

    fn has_first_line(&self) -> io::Result<bool> {
        match &self.format {
            Format::Csv(csv) if csv.header => {
                let mut line = Vec::new();
                let file = BufReader::new(fs::File::open(&self.range.path)?);
                file.take(EVENT_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
                // One that is too long is not waited for: opening the file says so.
                Ok(line.ends_with(b"\n") || line.len() == EVENT_BYTES_MAX)
            }
            _ => Ok(fs::metadata(&self.range.path)?.len() > 0),
        }
    }

    /// The file at the path must still be the one that is read, and no shorter than what was read of it.
    fn check(&self, open: &Open) -> Result<(), Fault> {
        let path = self.range.path.display();
        let now = fs::metadata(&self.range.path).map_err(|error| self.fault(&error))?;
        let Some(file) = open.file.local() else { return Ok(()) };
        let then = file.metadata().map_err(|error| self.fault(&error))?;
        let what = if (now.dev(), now.ino()) != (then.dev(), then.ino()) {
            "was replaced by another file"
        } else if now.len() < self.read {
            "became shorter"
        } else {
            return Ok(());
        };
        Err(Fault::unavailable(format!(
            "`{path}` {what} while it was followed, so events may be missing: a followed file may only grow; let new \
             events go to new files of a followed directory"
        )))
    }

    fn read_more(&mut self, limits: ReadLimits) -> Result<Option<Rows>, Fault> {
        if self.open()?.is_none() {
            return Ok(None);
        }
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let mut at_end = false;
        while open.framing.decode(limits) == Stopped::Hungry {
            let read = open.fill().map_err(|error| self.fault(&error))?;
            self.read += read as u64;
            if read == 0 {
                at_end = true;
                break;
            }
        }
        if at_end {
            self.check(&open)?;
        }
        let rows = (open.framing.decoded().events() > 0).then(|| open.framing.decoded().finish());
        self.open = Some(open);
        Ok(rows)
    }
}

impl SplitReader for FollowedFile {
    fn name(&self) -> &SplitName {
        &self.name
    }

    fn peek(&mut self) -> Result<Option<Rows>, Fault> {
        let one = ReadLimits { rows_max: 1, bytes_max: usize::MAX };
        let mut first = self.again();
        while let Some(rows) = first.read_more(one)? {
            if rows.records.num_rows() > 0 {
                return Ok(Some(Rows { refused: Vec::new(), ..rows }));
            }
        }
        Ok(None)
    }

    fn position(&self) -> Position {
        let at = self.open.as_ref().map(|open| open.framing.resume_at()).or(self.at);
        serde_json::to_value(Place { range: self.range.clone(), at }).unwrap_or_default()
    }

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault> {
        if self.look_at.is_some_and(|at| Instant::now() < at) {
            return Ok(Read::Pending);
        }
        self.look_at = None;
        match self.read_more(limits)? {
            Some(rows) => Ok(Read::Rows(rows)),
            None => {
                self.look_at = Some(Instant::now() + self.interval);
                Ok(Read::Pending)
            }
        }
    }
}

impl FollowedFile {
    /// The same file from where it was opened.
    fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            range: self.range.clone(),
            at: self.at,
            format: self.format.clone(),
            schema: self.schema.clone(),
            interval: self.interval,
            open: None,
            read: 0,
            look_at: None,
        }
    }
}
