//! Reads the splits of a source in one slot: always the one that is furthest behind in event time, so that results
//! depend neither on the order of files nor on how many slots read them.

use arrow_buffer::ScalarBuffer;

use crate::model::batch::{Batch, Provenance};
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::schema::Schema;
use crate::model::time::{Micros, Timestamp};
use crate::plan::connector::{SourcePlan, TimePlan};
use crate::plan::graph::Limits;

use super::dead_letter::{DeadEvent, DeadLetter};
use super::event_time;
use super::operator::Collector;
use super::snapshot::SourceSplit;
use super::split::{Read, ReadLimits, Refused, Rows, SplitEnumerator, SplitReader, SplitState};
use super::watermark::BoundedOutOfOrderness;

pub struct Source {
    uid: Uid,
    schema: Schema,
    time: Option<TimePlan>,
    enumerator: Box<dyn SplitEnumerator>,
    splits: Vec<Split>,
    /// Splits that had been read to their end before the checkpoint that this source was restored from.
    past: Vec<SourceSplit>,
    limits: ReadLimits,
    flush_interval: Micros,
    /// `MAX` = all splits are known.
    discover_at: Timestamp,
    watermark: Timestamp,
    idle: bool,
    draining: bool,
}

struct Split {
    reader: Box<dyn SplitReader>,
    watermarks: BoundedOutOfOrderness,
    /// When it last had an event; `None` = it has not been read.
    heard_at: Option<Timestamp>,
    /// A read came short: the next waits, so that batches can fill.
    read_at: Timestamp,
    ended: bool,
}

impl Split {
    fn new(reader: Box<dyn SplitReader>, delay: Micros) -> Self {
        let watermarks = BoundedOutOfOrderness::new(delay);
        Self { reader, watermarks, heard_at: None, read_at: Timestamp::MIN, ended: false }
    }
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// The collector has rows or dead letters, or a split has ended: poll again.
    Worked,
    /// Nothing before this time.
    Wait(Timestamp),
    End,
}

/// News about the watermark after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Watermark(Timestamp),
    Idle,
}

impl Source {
    pub fn new(uid: Uid, plan: &SourcePlan, enumerator: Box<dyn SplitEnumerator>, limits: &Limits) -> Self {
        Self {
            uid,
            schema: plan.schema.clone(),
            time: plan.time.clone(),
            enumerator,
            splits: Vec::new(),
            past: Vec::new(),
            limits: ReadLimits { rows_max: limits.batch_rows_max, bytes_max: limits.batch_bytes_max },
            flush_interval: limits.flush_interval,
            discover_at: Timestamp::MIN,
            watermark: Timestamp::MIN,
            idle: false,
            draining: false,
        }
    }

    /// Goes on where a checkpoint left the splits; `splits` are those of all slots. One slot, the one that
    /// `remembers`, goes on telling of splits that have ended, so that they are not read again.
    pub fn restore(&mut self, splits: Vec<SourceSplit>, remembers: bool) -> Result<(), Fault> {
        let states: Vec<SplitState> = splits.iter().map(|split| split.split.clone()).collect();
        for reader in self.enumerator.restore(&states)? {
            let former = splits.iter().find(|former| former.split.name == *reader.name());
            let mut split = Split::new(reader, self.delay());
            if let Some(latest) = former.and_then(|former| former.latest) {
                split.watermarks.restore(Timestamp(latest));
            }
            self.splits.push(split);
        }
        if remembers {
            self.past = splits.into_iter().filter(|split| split.split.position.is_none()).collect();
        }
        Ok(())
    }

    /// The splits that this slot knows, as they are now.
    pub fn snapshot(&mut self) -> Result<Vec<SourceSplit>, Fault> {
        // What no checkpoint knows, a restored source would not look for.
        if self.discover_at == Timestamp::MIN {
            self.find()?;
        }
        let now = self.splits.iter().map(|split| {
            let position = (!split.ended).then(|| split.reader.position());
            let latest = Some(split.watermarks.latest()).filter(|latest| *latest > Timestamp::MIN);
            SourceSplit {
                split: SplitState { name: split.reader.name().clone(), position },
                latest: latest.map(|latest| latest.0),
            }
        });
        Ok(self.past.iter().cloned().chain(now).collect())
    }

    fn delay(&self) -> Micros {
        self.time.as_ref().map_or(Micros(0), |time| time.out_of_orderness)
    }

    /// Stop reading, as if every split had ended.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Reads one batch, of the split that is furthest behind and has one.
    pub fn poll(&mut self, out: &mut Collector) -> Result<Polled, Fault> {
        if self.draining {
            return Ok(Polled::End);
        }
        self.discover(out)?;
        let mut order: Vec<usize> = (0..self.splits.len()).filter(|i| !self.splits[*i].ended).collect();
        if order.is_empty() && self.discover_at == Timestamp::MAX {
            return Ok(Polled::End);
        }
        order.sort_by_key(|i| self.splits[*i].watermarks.watermark());
        for i in order {
            if self.splits[i].read_at <= out.now && self.read(i, out)? {
                return Ok(Polled::Worked);
            }
        }
        let next_read = self.splits.iter().filter(|split| !split.ended).map(|split| split.read_at).min();
        let next = next_read.unwrap_or(Timestamp::MAX);
        Ok(Polled::Wait(next.min(self.discover_at)))
    }

    fn discover(&mut self, out: &mut Collector) -> Result<(), Fault> {
        if out.now < self.discover_at {
            return Ok(());
        }
        self.discover_at = self.enumerator.discover_interval().map_or(Timestamp::MAX, |every| out.now + every);
        self.find()?;
        self.peek()
    }

    fn find(&mut self) -> Result<(), Fault> {
        for reader in self.enumerator.discover()? {
            self.splits.push(Split::new(reader, self.delay()));
        }
        Ok(())
    }

    /// Splits that have not been read count with the time of their first event.
    fn peek(&mut self) -> Result<(), Fault> {
        if self.time.is_none() || self.splits.len() <= 1 {
            return Ok(());
        }
        for i in 0..self.splits.len() {
            let split = &mut self.splits[i];
            let is_new = split.heard_at.is_none() && split.watermarks.latest() == Timestamp::MIN;
            let Some(first) = (if is_new { split.reader.peek()? } else { None }) else { continue };
            let (batch, _) = self.decode(first, self.splits[i].reader.as_ref());
            self.splits[i].watermarks.observe(selected_times(&batch));
        }
        Ok(())
    }

    /// Whether the split had anything to say.
    fn read(&mut self, i: usize, out: &mut Collector) -> Result<bool, Fault> {
        let split = &mut self.splits[i];
        let rows = match split.reader.read(self.limits)? {
            Read::Rows(rows) => rows,
            Read::Pending => {
                split.read_at = out.now + self.flush_interval;
                split.heard_at.get_or_insert(out.now);
                return Ok(false);
            }
            Read::End => {
                split.ended = true;
                return Ok(true);
            }
        };
        split.heard_at = Some(out.now);
        let (batch, letters) = self.decode(rows, self.splits[i].reader.as_ref());
        self.splits[i].watermarks.observe(selected_times(&batch));
        out.dead_letters.extend(letters);
        out.emit(0, batch);
        Ok(true)
    }

    /// Rows with their times and without those that have none.
    fn decode(&self, rows: Rows, reader: &dyn SplitReader) -> (Batch, Vec<DeadLetter>) {
        let letter = |refused: Refused| DeadLetter {
            node: self.uid.clone(),
            reason: refused.reason,
            split: Some(reader.name().clone()),
            offset: Some(refused.offset),
            event: DeadEvent::Raw(refused.event),
        };
        let mut letters: Vec<DeadLetter> = rows.refused.into_iter().map(letter).collect();
        let provenance = Provenance { split: Some(reader.name().clone()), offsets: rows.offsets };
        let Some(time) = &self.time else {
            let times: ScalarBuffer<i64> = vec![Timestamp::MIN.0; rows.records.num_rows()].into();
            let batch = Batch::new(rows.records, times, provenance);
            return (with_selection(batch, rows.selection), letters);
        };
        let column = rows.records.column(time.column);
        let data_type = &self.schema.fields()[time.column].data_type;
        let found = event_time::extract(column, time, data_type, rows.selection.as_deref());
        let batch = Batch::new(rows.records, found.times, provenance);
        if found.missing.is_empty() {
            return (with_selection(batch, rows.selection), letters);
        }
        // Rows that could not be decoded are not selected, and have no letter here.
        let missing: Vec<u32> = found.missing.iter().map(|(row, _)| *row).collect();
        let (_, bad) = batch.clone().without(found.missing);
        letters.extend(bad.into_iter().map(|(row, reason)| DeadLetter::of_row(&self.uid, &row, 0, reason)));
        let mut kept = rows.selection.unwrap_or_else(|| (0..batch.rows() as u32).collect());
        kept.retain(|row| missing.binary_search(row).is_err());
        (batch.select(kept), letters)
    }

    /// How many events wait in all splits whose connector knows it; `None` = it does of none.
    pub fn lag(&self) -> Option<u64> {
        let waiting = |split: &Split| if split.ended { Some(0) } else { split.reader.lag() };
        self.splits.iter().filter_map(waiting).reduce(u64::saturating_add)
    }

    /// What the watermark came to after a poll, if that is news.
    pub fn signal(&mut self, now: Timestamp) -> Option<Signal> {
        let idle_timeout = self.time.as_ref()?.idle_timeout;
        let is_idle = |split: &&Split| match (idle_timeout, split.heard_at) {
            (Some(timeout), Some(heard_at)) => heard_at + timeout <= now,
            _ => false,
        };
        let active = self.splits.iter().filter(|split| !split.ended).filter(|split| !is_idle(split));
        match active.map(|split| split.watermarks.watermark()).min() {
            // A slot without a split holds nobody back, as long as it may get one.
            None if self.discover_at == Timestamp::MAX && self.splits.iter().all(|split| split.ended) => None,
            None => (!std::mem::replace(&mut self.idle, true)).then_some(Signal::Idle),
            Some(watermark) => {
                let was_idle = std::mem::take(&mut self.idle);
                if watermark <= self.watermark && !was_idle {
                    return None;
                }
                self.watermark = self.watermark.max(watermark);
                Some(Signal::Watermark(self.watermark))
            }
        }
    }
}

fn with_selection(batch: Batch, selection: Option<Vec<u32>>) -> Batch {
    match selection {
        None => batch,
        Some(rows) => batch.select(rows),
    }
}

fn selected_times(batch: &Batch) -> impl Iterator<Item = i64> {
    let times = batch.times();
    let (all, some) = match batch.selection() {
        None => (times.iter(), [].iter()),
        Some(rows) => ([].iter(), rows.iter()),
    };
    all.copied().chain(some.map(|row| times[*row as usize]))
}
