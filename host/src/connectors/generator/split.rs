//! The events of one split, at the rate that is wanted.

use std::time::Instant;

use arrow_array::{RecordBatch, RecordBatchOptions};

use crate::dataplane::split::{Position, Read, ReadLimits, Rows, SplitReader};
use crate::model::batch::Offsets;
use crate::model::fault::Fault;
use crate::model::id::SplitName;
use crate::model::schema::Schema;
use crate::plan::connector::{GeneratedEvents, GeneratorSource};

use super::{Maker, Numbers};

pub struct GeneratedSplit {
    name: SplitName,
    schema: Schema,
    maker: Maker,
    /// The number of the next event.
    next: u64,
    step: u64,
    /// Events still to make.
    left: u64,
    pace: Option<Pace>,
}

/// Events per second of this split.
struct Pace {
    rate: f64,
    /// The number of the first event that it is for.
    from: u64,
    made: u64,
    started: Option<Instant>,
}

impl GeneratedSplit {
    pub fn new(source: &GeneratorSource, schema: &Schema, maker: Maker, k: u16) -> Self {
        let (first, step) = (u64::from(k), u64::from(source.splits.max(1)));
        let left = source.count.map_or(u64::MAX, |count| count.saturating_sub(first).div_ceil(step));
        let rate = source.rate.map(|rate| rate as f64 / step as f64);
        let from = match source.events {
            GeneratedEvents::Keyed { keys, fill: true, .. } => keys,
            _ => 0,
        };
        Self {
            name: SplitName::from(format!("generator@{k}").as_str()),
            schema: schema.clone(),
            maker,
            next: first,
            step,
            left,
            pace: rate.map(|rate| Pace { rate, from, made: 0, started: None }),
        }
    }

    /// Goes on with the event of this number, which a checkpoint says.
    pub fn go_on_at(&mut self, position: &Position) -> Result<(), Fault> {
        let next = position.as_u64().filter(|next| *next >= self.next && (*next - self.next).is_multiple_of(self.step));
        let Some(next) = next else {
            return Err(Fault::invalid(format!(
                "the checkpoint says that split `{}` goes on with event {position}, which is none of its {} splits' \
                 events: was `splits` changed?",
                self.name, self.step
            )));
        };
        self.left = self.left.saturating_sub((next - self.next) / self.step);
        self.next = next;
        Ok(())
    }

    fn make(&mut self, count: usize) -> Rows {
        let numbers = Numbers { first: self.next, step: self.step, count };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let columns = self.maker.make(numbers);
        let records = RecordBatch::try_new_with_options(self.schema.arrow().clone(), columns, &options)
            .expect("the maker's columns are those of the schema");
        let offsets = Offsets::Sequence { first: self.next, step: self.step };
        Rows { records, selection: None, offsets, refused: Vec::new() }
    }
}

impl Pace {
    /// How many events are due and not made.
    fn due(&mut self) -> u64 {
        let started = *self.started.get_or_insert_with(Instant::now);
        // The first is due at once.
        let due = (started.elapsed().as_secs_f64() * self.rate) as u64 + 1;
        due.saturating_sub(self.made)
    }
}

impl SplitReader for GeneratedSplit {
    fn name(&self) -> &SplitName {
        &self.name
    }

    fn peek(&mut self) -> Result<Option<Rows>, Fault> {
        Ok((self.left > 0).then(|| self.make(1)))
    }

    fn position(&self) -> Position {
        self.next.into()
    }

    fn read(&mut self, limits: ReadLimits) -> Result<Read, Fault> {
        if self.left == 0 {
            return Ok(Read::End);
        }
        let mut pace = self.pace.as_mut().filter(|pace| self.next >= pace.from);
        let due = pace.as_mut().map_or(u64::MAX, |pace| pace.due());
        let fitting = limits.rows_max.min(limits.bytes_max / self.maker.event_bytes()).max(1) as u64;
        let count = fitting.min(due).min(self.left);
        if count == 0 {
            return Ok(Read::Pending);
        }
        if let Some(pace) = pace {
            pace.made += count;
        }
        let rows = self.make(count as usize);
        self.next += count * self.step;
        self.left -= count;
        Ok(Read::Rows(rows))
    }
}
