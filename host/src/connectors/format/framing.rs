//! Events out of a stream of bytes that comes in pieces: a bounded buffer in front of a decoder.

use std::io;

use crate::dataplane::split::ReadLimits;

use super::{Decoder, EVENT_BYTES_MAX, EXCERPT_BYTES, Input, RowsBuilder};

/// The longest event with its line end. A buffer this full that holds no whole event holds one that is too long.
const HELD_BYTES_MAX: usize = EVENT_BYTES_MAX + 2;

pub struct Framing {
    decoder: Box<dyn Decoder>,
    held: Held,
}

/// The input that is not decoded yet: `bytes[start..end]`.
struct Held {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Of `start` in the split.
    offset: u64,
    /// Events that start here or later are another's.
    ends_at: u64,
    /// Inside of a line that is not wanted.
    skipping: bool,
    /// Nothing follows `end`.
    no_more: bool,
}

/// A place in a stream, between events or inside of a line that is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resume {
    pub offset: u64,
    pub inside_a_line: bool,
}

/// Why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The limits are reached.
    Full,
    /// No whole event is left in the buffer.
    Hungry,
    /// The last event is decoded.
    Ended,
}

impl Framing {
    /// For a stream whose next byte is at `offset`.
    pub fn new(decoder: Box<dyn Decoder>, buffer_bytes: usize, offset: u64) -> Self {
        let bytes = vec![0; buffer_bytes.min(HELD_BYTES_MAX)];
        let held = Held { bytes, start: 0, end: 0, offset, ends_at: u64::MAX, skipping: false, no_more: false };
        Self { decoder, held }
    }

    /// Events that start at `offset` or later are not decoded.
    pub fn end_at(mut self, offset: u64) -> Self {
        self.held.ends_at = offset;
        self
    }

    /// Drops everything up to and with the next line end.
    pub fn skip_line(mut self) -> Self {
        self.held.skipping = true;
        self
    }

    /// Where the next byte to put in comes from.
    pub fn next_offset(&self) -> u64 {
        self.held.offset + (self.held.end - self.held.start) as u64
    }

    /// Where the next event is looked for: a stream that starts there gives the events that this one has not given.
    pub fn resume_at(&self) -> Resume {
        Resume { offset: self.held.offset, inside_a_line: self.held.skipping }
    }

    /// Takes what `read` puts into the free part of the buffer, and returns how much that was.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let held = &mut self.held;
        held.bytes.copy_within(held.start..held.end, 0);
        held.end -= held.start;
        held.start = 0;
        if held.end == held.bytes.len() {
            held.bytes.resize((held.end * 2).clamp(1, HELD_BYTES_MAX), 0);
        }
        let read = read(&mut held.bytes[held.end..])?;
        held.end += read;
        Ok(read)
    }

    /// What was put in is all there will be.
    pub fn end_input(&mut self) {
        self.held.no_more = true;
    }

    pub fn decode(&mut self, limits: ReadLimits) -> Stopped {
        let mut bytes_left = limits.bytes_max;
        loop {
            self.held.skip();
            let input = self.held.input();
            if self.held.offset >= self.held.ends_at || (self.held.no_more && input.bytes.is_empty()) {
                return Stopped::Ended;
            }
            let events = self.decoder.decoded().events();
            if events >= limits.rows_max || (bytes_left == 0 && events > 0) {
                return Stopped::Full;
            }
            if bytes_left == 0 {
                // Blank lines only: to return without an event would look like a pause.
                bytes_left = limits.bytes_max;
            }
            if input.bytes.is_empty() {
                return Stopped::Hungry;
            }
            let taken = self.decoder.decode(input, ReadLimits { bytes_max: bytes_left, ..limits });
            bytes_left = bytes_left.saturating_sub(taken);
            if taken == 0 {
                if input.bytes.len() < HELD_BYTES_MAX && !input.is_last {
                    return Stopped::Hungry;
                }
                self.refuse_line();
            }
            self.held.consume(taken);
        }
    }

    /// The event at the start has no end: its first line is refused, and the next line gets its chance.
    fn refuse_line(&mut self) {
        let held = &self.held.bytes[self.held.start..self.held.end];
        let line = &held[..memchr::memchr(b'\n', held).unwrap_or(held.len())];
        let event = line[..line.len().min(EXCERPT_BYTES)].to_vec();
        let reason = self.decoder.unended();
        self.decoder.decoded().refuse(self.held.offset, reason, &event);
        self.held.skipping = true;
    }

    /// What has been decoded and not been taken yet.
    pub fn decoded(&mut self) -> &mut RowsBuilder {
        self.decoder.decoded()
    }
}

impl Held {
    /// The part that is ours.
    fn input(&self) -> Input<'_> {
        let held = &self.bytes[self.start..self.end];
        // The last event that is ours is the one that holds the byte before `ends_at`.
        let last = usize::try_from(self.ends_at.saturating_sub(self.offset)).unwrap_or(usize::MAX).saturating_sub(1);
        let end = held.get(last..).and_then(|rest| memchr::memchr(b'\n', rest)).map(|end| last + end + 1);
        let (bytes, is_last) = match end {
            Some(end) => (&held[..end], true),
            None => (held, self.no_more),
        };
        Input { bytes, offset: self.offset, is_last }
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    fn skip(&mut self) {
        if !self.skipping {
            return;
        }
        let held = &self.bytes[self.start..self.end];
        match memchr::memchr(b'\n', held) {
            Some(end) => {
                self.consume(end + 1);
                self.skipping = false;
            }
            None => self.consume(held.len()),
        }
    }
}
