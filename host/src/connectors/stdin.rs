//! Lines of standard input: one split, of slot 0. A thread reads, because a read may block for as long as it likes.

use std::io::{self, Read as _};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use crate::connectors::format::decoder;
use crate::connectors::format::framing::{Framing, Stopped};
use crate::dataplane::split::{Position, Read, ReadLimits, Rows, SplitEnumerator, SplitReader, SplitState};
use crate::model::fault::Fault;
use crate::model::id::{Slot, SplitName};
use crate::model::schema::Schema;
use crate::model::time::Micros;
use crate::plan::connector::Format;

const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the slot.
const CHUNKS_MAX: usize = 4;

type Chunk = io::Result<Vec<u8>>;

pub fn open(format: &Format, schema: &Schema, slot: Slot) -> Result<Box<dyn SplitEnumerator>, Fault> {
    let input = Input { format: format.clone(), schema: schema.clone() };
    input.check()?;
    Ok(Box::new(Stdin { input: (slot.0 == 0).then_some(input) }))
}

struct Stdin {
    /// Until it is given out.
    input: Option<Input>,
}

impl SplitEnumerator for Stdin {
    fn restore(&mut self, _: &[SplitState]) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        // The plan refuses checkpoints of such a job.
        Err(Fault::invalid("what was read from standard input cannot be read again"))
    }

    fn discover(&mut self) -> Result<Vec<Box<dyn SplitReader>>, Fault> {
        let Some(input) = self.input.take() else { return Ok(Vec::new()) };
        let (sender, chunks) = sync_channel(CHUNKS_MAX);
        // It ends with the input or the process: nothing can interrupt a read.
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read_chunks(io::stdin().lock(), &sender))
            .map_err(|error| Fault::unavailable(format!("cannot start a thread that reads stdin: {error}")))?;
        Ok(vec![Box::new(StdinSplit::new(input, chunks))])
    }

    fn discover_interval(&self) -> Option<Micros> {
        None
    }
}

fn read_chunks(mut input: impl io::Read, sender: &SyncSender<Chunk>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let sent = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                sender.send(Ok(chunk))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => sender.send(Err(error)),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// How the lines are decoded.
struct Input {
    format: Format,
    schema: Schema,
}

impl Input {
    fn has_header(&self) -> bool {
        matches!(&self.format, Format::Csv(csv) if csv.header)
    }

    /// Settings that cannot work are refused before anything is read.
    fn check(&self) -> Result<(), Fault> {
        let header = self.has_header().then(|| self.schema.names().replace(", ", ",").into_bytes());
        decoder(&self.format, &self.schema, header.as_deref()).map(drop).map_err(Fault::invalid)
    }

    fn framing(&self, header: Option<&[u8]>, offset: u64) -> Result<Framing, Fault> {
        let decoder = decoder(&self.format, &self.schema, header);
        Ok(Framing::new(decoder.map_err(|error| Fault::invalid(format!("stdin: {error}")))?, CHUNK_BYTES, offset))
    }
}

struct StdinSplit {
    name: SplitName,
    input: Input,
    chunks: Receiver<Chunk>,
    state: State,
    /// Received, and so much of it already taken.
    chunk: (Vec<u8>, usize),
}

enum State {
    /// The header line so far.
    Header(Vec<u8>),
    Events(Framing),
}

enum Received {
    Something,
    Nothing,
    End,
}

impl StdinSplit {
    fn new(input: Input, chunks: Receiver<Chunk>) -> Self {
        let name = SplitName::from("stdin@0");
        Self { name, input, chunks, state: State::Header(Vec::new()), chunk: (Vec::new(), 0) }
    }

    /// Makes sure that a chunk is there.
    fn receive(&mut self) -> Result<Received, Fault> {
        if self.chunk.1 < self.chunk.0.len() {
            return Ok(Received::Something);
        }
        match self.chunks.try_recv() {
            Ok(Ok(chunk)) => {
                self.chunk = (chunk, 0);
                Ok(Received::Something)
            }
            Ok(Err(error)) => Err(Fault::unavailable(format!("cannot read stdin: {error}"))),
            Err(TryRecvError::Empty) => Ok(Received::Nothing),
            Err(TryRecvError::Disconnected) => Ok(Received::End),
        }
    }

    /// The framing, once the header is known.
    fn start(&mut self) -> Result<bool, Fault> {
        let State::Header(header) = &mut self.state else { return Ok(true) };
        if !self.input.has_header() {
            self.state = State::Events(self.input.framing(None, 0)?);
            return Ok(true);
        }
        let mut header = std::mem::take(header);
        loop {
            let ended = match self.receive()? {
                Received::Nothing => {
                    self.state = State::Header(header);
                    return Ok(false);
                }
                Received::End => true,
                Received::Something => {
                    let rest = &self.chunk.0[self.chunk.1..];
                    let end = memchr::memchr(b'\n', rest);
                    let taken = end.map_or(rest.len(), |end| end + 1);
                    header.extend_from_slice(&rest[..taken]);
                    self.chunk.1 += taken;
                    end.is_some() || header.len() > crate::connectors::format::EVENT_BYTES_MAX
                }
            };
            if ended {
                let offset = header.len() as u64;
                self.state = State::Events(self.input.framing(Some(header.trim_ascii_end()), offset)?);
                return Ok(true);
            }
        }
    }

    fn rows(&mut self) -> Option<Rows> {
        let State::Events(framing) = &mut self.state else { return None };
        (framing.decoded().events() > 0).then(|| framing.decoded().finish())
    }
}

impl SplitReader for StdinSplit {
    fn name(&self) -> &SplitName {
        &self.name
    }

    /// What is read from standard input cannot be read again.
    fn peek(&mut self) -> Result<Option<Rows>, Fault> {
        Ok(None)
    }

    fn position(&self) -> Position {
        Position::Null
    }

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault> {
        if !self.start()? {
            return Ok(Read::Pending);
        }
        loop {
            let State::Events(framing) = &mut self.state else { return Ok(Read::Pending) };
            match framing.decode(limits) {
                Stopped::Full => break,
                Stopped::Ended => return Ok(self.rows().map_or(Read::End, Read::Rows)),
                Stopped::Hungry => {}
            }
            match self.receive()? {
                Received::Nothing => break,
                Received::Something => {}
                Received::End => {
                    let State::Events(framing) = &mut self.state else { break };
                    framing.end_input();
                    continue;
                }
            }
            let State::Events(framing) = &mut self.state else { break };
            let (chunk, taken) = &mut self.chunk;
            let filled = framing.fill(|free| (&chunk[*taken..]).read(free));
            *taken += filled.map_err(|error| Fault::unavailable(format!("cannot read stdin: {error}")))?;
        }
        Ok(self.rows().map_or(Read::Pending, Read::Rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::{DataType, Field};
    use crate::plan::connector::CsvFormat;

    const LIMITS: ReadLimits = ReadLimits { rows_max: 2, bytes_max: 1 << 20 };

    fn split(format: Format) -> (SyncSender<Chunk>, StdinSplit) {
        let schema = Schema::new([Field::new("n", DataType::I64)]);
        let (sender, chunks) = sync_channel(16);
        (sender, StdinSplit::new(Input { format, schema }, chunks))
    }

    fn rows(read: Read) -> usize {
        match read {
            Read::Rows(rows) => rows.records.num_rows(),
            Read::Pending => 0,
            Read::End => usize::MAX,
        }
    }

    #[test]
    fn lines_may_come_in_pieces() {
        let (sender, mut split) = split(Format::Json);
        assert_eq!(rows(split.read(LIMITS).unwrap()), 0);
        sender.send(Ok(b"{\"n\":1}\n{\"n\"".to_vec())).unwrap();
        assert_eq!(rows(split.read(LIMITS).unwrap()), 1);
        sender.send(Ok(b":2}\n{\"n\":3}\n{\"n\":4}".to_vec())).unwrap();
        drop(sender);
        assert_eq!(rows(split.read(LIMITS).unwrap()), 2);
        assert_eq!(rows(split.read(LIMITS).unwrap()), 1);
        assert_eq!(rows(split.read(LIMITS).unwrap()), usize::MAX);
    }

    #[test]
    fn a_header_may_come_in_pieces() {
        let format = Format::Csv(CsvFormat { delimiter: b',', header: true, multiline: false });
        let (sender, mut split) = split(format);
        for piece in ["x", ",n", "\n1,2", "\n3,4"] {
            sender.send(Ok(piece.into())).unwrap();
        }
        assert_eq!(rows(split.read(LIMITS).unwrap()), 1);
        drop(sender);
        assert_eq!(rows(split.read(LIMITS).unwrap()), 1);
    }

    #[test]
    fn the_thread_stops_at_the_end_of_its_input() {
        let (sender, chunks) = sync_channel(16);
        read_chunks(&b"a\nb"[..], &sender);
        assert_eq!(chunks.recv().unwrap().unwrap(), b"a\nb");
    }
}
