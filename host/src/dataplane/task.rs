//! A task: a chain of nodes in one slot, driven step by step with the time.
//!
//! The nodes of a task hand batches to each other by calls; between tasks there are channels. A task that has output
//! which a channel has no credit for, or a sink no room, takes no more input: that is back-pressure. It never waits in a
//! call for other tasks, which may be the same thread's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};

use crate::model::batch::Batch;
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::Fault;
use crate::model::id::Uid;
use crate::model::message::Message;
use crate::model::schema::Schema;
use crate::model::time::Timestamp;

use super::channel::Inlet;
use super::dead_letter::DeadLetterWriter;
use super::dead_letter_limit::{DeadLetterLimit, WINDOW_EVENTS};
use super::exchange::Router;
use super::in_flight::Intake;
use super::metrics::NodeMetrics;
use super::operator::{Collector, Operator};
use super::snapshot::TaskSnapshot;
use super::source::{Polled, Signal, Source};
use super::watermark::{Change, WatermarkMerge};

mod checkpoint;
mod time_assigner;

pub use time_assigner::TimeAssigner;

use checkpoint::Overtaking;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Worked,
    /// Nothing to do before this time, unless a message comes.
    Waiting(Timestamp),
    /// A channel has no credit, or a sink no room.
    Blocked,
    Done,
}

pub struct Task {
    members: Vec<Member>,
    /// Members that have more to give out. Nothing is read until they have done so.
    unfinished: BTreeMap<usize, Unfinished>,
    inlets: Vec<TaskInlet>,
    /// Read from inlets or restored, and not yet delivered; comes before what inlets hold. At most what the channels hold
    /// and their writers make in a step.
    held: VecDeque<Delivery>,
    /// The inlet that is asked next.
    turn: usize,
    sources_first: bool,
    dead_letters: Box<dyn DeadLetterWriter>,
    /// The barrier that is waited for on the inlets that are not aligned.
    barrier: Option<Barrier>,
    /// The last checkpoint whose barrier has passed.
    passed: Option<CheckpointId>,
    /// A snapshot that wants what comes before the barrier on channels where it has not come.
    overtaking: Option<Overtaking>,
    /// To be taken.
    snapshot: Option<TaskSnapshot>,
    /// The last barrier was one after which nothing follows.
    stopped: bool,
    done: bool,
}

/// A node of the chain.
pub struct Member {
    pub uid: Uid,
    pub work: Work,
    /// By output port.
    pub edges: Vec<Vec<Edge>>,
    pub metrics: Arc<NodeMetrics>,
    pub dead_letter_limit: DeadLetterLimit,
    /// It has said `End`.
    pub ended: bool,
}

pub enum Work {
    Source(Box<Source>),
    Operator(Box<Running>),
}

/// An operator, its inputs' watermarks, and the times that it gives its main output.
pub struct Running {
    pub operator: Box<dyn Operator>,
    pub merge: WatermarkMerge,
    /// From here on, gates are those of the broadcast input.
    pub first_broadcast_gate: usize,
    pub assigner: Option<TimeAssigner>,
    pub intake: Intake,
}

/// Where the rows of a port go.
pub struct Edge {
    pub projection: Option<Projection>,
    pub to: Destination,
}

pub enum Destination {
    /// A later member of the same task.
    Member {
        member: usize,
        gate: usize,
    },
    Channels(Router),
}

/// The columns that a reader wants, by their place in the port's schema; `None` = nulls.
pub struct Projection {
    pub schema: Schema,
    pub columns: Vec<Option<usize>>,
}

struct TaskInlet {
    inlet: Box<dyn Inlet>,
    member: usize,
    gate: usize,
    state: InletState,
    /// Its messages may become part of a checkpoint.
    may_be_overtaken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InletState {
    Open,
    /// Its barrier has come: what follows waits for those of the others.
    Aligned,
    /// The snapshot did not wait for its barrier: what comes before that is kept.
    Overtaken,
    Ended,
}

/// What a member is still busy with, and what has come for it since, which is what those before it in the chain gave out
/// at once.
struct Unfinished {
    change: Change,
    waiting: VecDeque<(usize, Message)>,
}

/// Something for a member.
struct Delivery {
    member: usize,
    gate: usize,
    message: Message,
}

impl Task {
    /// Edges lead to later members only.
    pub fn new(members: Vec<Member>, dead_letters: Box<dyn DeadLetterWriter>) -> Self {
        Self {
            members,
            unfinished: BTreeMap::new(),
            inlets: Vec::new(),
            held: VecDeque::new(),
            turn: 0,
            sources_first: false,
            dead_letters,
            barrier: None,
            passed: None,
            overtaking: None,
            snapshot: None,
            stopped: false,
            done: false,
        }
    }

    /// `may_be_overtaken` = a checkpoint may keep what is on its way there.
    pub fn add_inlet(&mut self, inlet: Box<dyn Inlet>, member: usize, gate: usize, may_be_overtaken: bool) {
        let state = InletState::Open;
        self.inlets.push(TaskInlet { inlet, member, gate, state, may_be_overtaken });
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Sources stop reading, as if their input had ended.
    pub fn drain(&mut self) {
        for member in &mut self.members {
            if let Work::Source(source) = &mut member.work {
                source.drain();
            }
        }
    }

    /// Takes up to `budget` batches of input.
    pub fn step(&mut self, now: Timestamp, budget: usize) -> Result<Progress, Fault> {
        self.overtake(now)?;
        if !self.flush() {
            return Ok(Progress::Blocked);
        }
        if self.done {
            return Ok(Progress::Done);
        }
        if !self.is_ready()? {
            return Ok(Progress::Blocked);
        }
        let mut worked = !self.stopped && self.unfinished.is_empty() && self.fire_clocks(now)?;
        let mut wait = Timestamp::MAX;
        for _ in 0..budget {
            if !self.flush() || !self.is_ready()? {
                break;
            }
            if self.go_on(now)? {
                worked = true;
                continue;
            }
            match self.take_input(now)? {
                None => {
                    worked = true;
                    if self.done {
                        break;
                    }
                }
                Some(until) => {
                    wait = until;
                    break;
                }
            }
        }
        let flushed = self.flush();
        Ok(match (worked, self.done && flushed) {
            (_, true) => Progress::Done,
            (true, false) => Progress::Worked,
            (false, false) if !flushed => Progress::Blocked,
            (false, false) if self.stopped => Progress::Waiting(Timestamp::MAX),
            (false, false) => Progress::Waiting(self.wake_at().min(wait)),
        })
    }

    fn wake_at(&self) -> Timestamp {
        let operators = self.members.iter().filter_map(|member| match &member.work {
            Work::Operator(running) => running.operator.wake_at(),
            Work::Source(_) => None,
        });
        operators.chain(self.overtakes_at()).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether every operator takes more input.
    fn is_ready(&mut self) -> Result<bool, Fault> {
        for member in &mut self.members {
            if let Work::Operator(running) = &mut member.work
                && !running.operator.is_ready().map_err(|fault| fault.at(&member.uid))?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether every channel took what was for it.
    fn flush(&mut self) -> bool {
        let edges = self.members.iter_mut().flat_map(|member| member.edges.iter_mut().flatten());
        edges.fold(true, |all, edge| match &mut edge.to {
            Destination::Member { .. } => all,
            Destination::Channels(router) => router.flush() && all,
        })
    }

    /// Whether an operator had something to do at this time.
    fn fire_clocks(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let mut fired = false;
        for i in 0..self.members.len() {
            let Work::Operator(running) = &self.members[i].work else { continue };
            if running.operator.wake_at().is_some_and(|at| at <= now) {
                fired = true;
                self.operate(i, now, |operator, out| operator.on_time(now, out))?;
            }
        }
        Ok(fired)
    }

    /// `None` = there was some; otherwise when to ask again. Sources and channels take turns.
    fn take_input(&mut self, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
        if self.stopped {
            // Only another barrier can come.
            return Ok(if self.receive(now)? { None } else { Some(Timestamp::MAX) });
        }
        if let Some(delivery) = self.held.pop_front() {
            self.deliver(delivery, now)?;
            self.align()?;
            return Ok(None);
        }
        self.sources_first = !self.sources_first;
        if self.sources_first {
            match self.poll_sources(now)? {
                None => Ok(None),
                Some(wait) => Ok(if self.receive(now)? { None } else { Some(wait) }),
            }
        } else {
            if self.receive(now)? { Ok(None) } else { self.poll_sources(now) }
        }
    }

    fn poll_sources(&mut self, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
        let mut wait = Timestamp::MAX;
        for i in 0..self.members.len() {
            if !self.members[i].ended && matches!(self.members[i].work, Work::Source(_)) {
                match self.poll(i, now)? {
                    Polled::Wait(until) => wait = wait.min(until),
                    Polled::Worked | Polled::End => return Ok(None),
                }
            }
        }
        Ok(Some(wait))
    }

    /// Whether there was a message.
    fn receive(&mut self, now: Timestamp) -> Result<bool, Fault> {
        for _ in 0..self.inlets.len() {
            self.turn = (self.turn + 1) % self.inlets.len();
            let inlet = &mut self.inlets[self.turn];
            if let Some(message) = if inlet.state == InletState::Open { inlet.inlet.receive() } else { None } {
                let (member, gate) = (inlet.member, inlet.gate);
                match message {
                    Message::Barrier(barrier) => {
                        inlet.state = InletState::Aligned;
                        self.begin_checkpoint(barrier)?;
                    }
                    message => {
                        if matches!(message, Message::End) {
                            inlet.state = InletState::Ended;
                        }
                        self.deliver(Delivery { member, gate, message }, now)?;
                        self.align()?;
                    }
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn poll(&mut self, i: usize, now: Timestamp) -> Result<Polled, Fault> {
        let member = &mut self.members[i];
        let Work::Source(source) = &mut member.work else { unreachable!("asked of sources only") };
        let mut out = Collector::new(now);
        let polled = source.poll(&mut out).map_err(|fault| fault.at(&member.uid))?;
        let signal = source.signal(now);
        let lag = source.lag();
        let rows = out.outputs.iter().map(|(_, batch)| batch.rows() as u64).sum::<u64>();
        let letters = out.dead_letters.len() as u64;
        self.members[i].metrics.records_in.fetch_add(rows + letters, Relaxed);
        if let Some(lag) = lag {
            self.members[i].metrics.set_lag(lag);
        }
        self.collect(i, out, rows + letters)?;
        match signal {
            Some(Signal::Watermark(watermark)) => self.announce(i, Message::Watermark(watermark), now)?,
            Some(Signal::Idle) => self.announce(i, Message::Idle, now)?,
            None => {}
        }
        if polled == Polled::End {
            self.announce(i, Message::End, now)?;
        }
        Ok(polled)
    }

    /// Delivers a message and everything that follows from it.
    fn deliver(&mut self, delivery: Delivery, now: Timestamp) -> Result<(), Fault> {
        let Delivery { member: i, gate, message } = delivery;
        if let Some(unfinished) = self.unfinished.get_mut(&i) {
            unfinished.waiting.push_back((gate, message));
            return Ok(());
        }
        let Work::Operator(running) = &mut self.members[i].work else { unreachable!("sources have no input") };
        let change = match message {
            Message::Batch(batch) => {
                running.merge.on_event(gate);
                let is_broadcast = gate >= running.first_broadcast_gate;
                let rows = batch.rows() as u64;
                self.members[i].metrics.records_in.fetch_add(rows, Relaxed);
                return self.operate_counted(i, now, rows, |operator, out| match is_broadcast {
                    true => operator.on_broadcast(batch, out),
                    false => operator.on_batch(batch, out),
                });
            }
            Message::Watermark(watermark) => running.merge.on_watermark(gate, watermark),
            Message::Idle => running.merge.on_idle(gate),
            Message::Barrier(_) => unreachable!("a barrier is for the whole task"),
            Message::End => running.merge.on_end(gate),
        };
        match change {
            None => Ok(()),
            Some(Change::Idle) => self.announce(i, Message::Idle, now),
            Some(change) => {
                if self.advance(i, change, now)? {
                    self.unfinished.insert(i, Unfinished { change, waiting: VecDeque::new() });
                }
                Ok(())
            }
        }
    }

    /// Tells an operator how far time has come, and its readers when it has given out what follows from it; whether it
    /// has more to give out.
    fn advance(&mut self, i: usize, change: Change, now: Timestamp) -> Result<bool, Fault> {
        let ends = change == Change::End;
        let watermark = if let Change::Watermark(watermark) = change { watermark } else { Timestamp::MAX };
        let mut has_more = false;
        self.operate(i, now, |operator, out| {
            operator.on_watermark(watermark, out)?;
            has_more = operator.has_more();
            if ends && !has_more { operator.on_end(out) } else { Ok(()) }
        })?;
        match (has_more, ends) {
            (true, _) => {}
            (false, true) => self.announce(i, Message::End, now)?,
            (false, false) => self.forward_watermark(i, watermark, now)?,
        }
        Ok(has_more)
    }

    /// Lets the last member that has more give out some of it: its readers stand behind it. `false` = there is none.
    fn go_on(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let Some((i, unfinished)) = self.unfinished.last_key_value() else { return Ok(false) };
        let i = *i;
        if !self.advance(i, unfinished.change, now)?
            && let Some(unfinished) = self.unfinished.remove(&i)
        {
            for (gate, message) in unfinished.waiting {
                self.deliver(Delivery { member: i, gate, message }, now)?;
            }
            self.align()?;
        }
        Ok(true)
    }

    /// An operator that gives its output times of its own makes its own watermarks too.
    fn forward_watermark(&mut self, i: usize, watermark: Timestamp, now: Timestamp) -> Result<(), Fault> {
        match &self.members[i].work {
            Work::Operator(running) if running.assigner.is_some() => {
                self.members[i].metrics.set_watermark(watermark);
                Ok(())
            }
            _ => self.announce(i, Message::Watermark(watermark), now),
        }
    }

    fn operate(
        &mut self,
        i: usize,
        now: Timestamp,
        act: impl FnOnce(&mut dyn Operator, &mut Collector) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.operate_counted(i, now, 0, act)
    }

    fn operate_counted(
        &mut self,
        i: usize,
        now: Timestamp,
        rows: u64,
        act: impl FnOnce(&mut dyn Operator, &mut Collector) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let member = &mut self.members[i];
        let Work::Operator(running) = &mut member.work else { unreachable!("sources are polled") };
        let mut out = Collector::new(now);
        act(running.operator.as_mut(), &mut out).map_err(|fault| fault.at(&member.uid))?;
        if let Some(assigner) = &mut running.assigner {
            for (port, batch) in &mut out.outputs {
                if *port == 0 {
                    *batch = assigner.assign(batch.clone(), &member.uid, &mut out.dead_letters);
                }
            }
        }
        let news = running.assigner.as_mut().and_then(TimeAssigner::news);
        self.collect(i, out, rows)?;
        match news {
            Some(watermark) => self.announce(i, Message::Watermark(watermark), now),
            None => Ok(()),
        }
    }

    /// Passes on what a member made of `rows` rows.
    fn collect(&mut self, i: usize, out: Collector, rows: u64) -> Result<(), Fault> {
        let member = &mut self.members[i];
        let metrics = &member.metrics;
        metrics.late_records.fetch_add(out.late_rows, Relaxed);
        for (counter, by) in &out.counts {
            if let Some(sum) = metrics.counters.get(*counter as usize) {
                sum.fetch_add(*by, Relaxed);
            }
        }
        for (histogram, value) in &out.observations {
            if let Some(histogram) = metrics.histograms.get(*histogram as usize) {
                histogram.observe(*value);
            }
        }
        let letters = out.dead_letters.len() as u64;
        if letters > 0 {
            metrics.dead_letters.fetch_add(letters, Relaxed);
            self.dead_letters.write(&out.dead_letters).map_err(|fault| fault.at(&member.uid))?;
        }
        if member.dead_letter_limit.exceeded(rows.max(letters), letters) {
            let last = out.dead_letters.last().map_or("", |letter| &letter.reason);
            return Err(Fault::plugin(format!(
                "more than {} of the last {WINDOW_EVENTS} events became dead letters (dead_letter_limit); the last: {last}",
                member.dead_letter_limit.letters_max()
            ))
            .at(&member.uid));
        }
        let now = out.now;
        for (port, batch) in out.outputs {
            self.members[i].metrics.records_out.fetch_add(batch.rows() as u64, Relaxed);
            self.emit(i, port, batch, now)?;
        }
        Ok(())
    }

    fn emit(&mut self, i: usize, port: usize, batch: Batch, now: Timestamp) -> Result<(), Fault> {
        let mut local = VecDeque::new();
        for edge in &mut self.members[i].edges[port] {
            let projected = match &edge.projection {
                None => batch.clone(),
                Some(projection) => projection.apply(&batch)?,
            };
            match &mut edge.to {
                Destination::Channels(router) => router.route(&batch, projected),
                Destination::Member { member, gate } => local.push_back((*member, *gate, projected)),
            }
        }
        for (member, gate, batch) in local {
            self.deliver(Delivery { member, gate, message: Message::Batch(batch) }, now)?;
        }
        Ok(())
    }

    /// Tells every reader of every port.
    fn announce(&mut self, i: usize, message: Message, now: Timestamp) -> Result<(), Fault> {
        match message {
            Message::Watermark(watermark) => self.members[i].metrics.set_watermark(watermark),
            Message::End => self.members[i].metrics.set_watermark(Timestamp::MAX),
            _ => {}
        }
        let mut local = Vec::new();
        for edge in self.members[i].edges.iter_mut().flatten() {
            match &mut edge.to {
                Destination::Channels(router) => router.announce(&message),
                Destination::Member { member, gate } => local.push((*member, *gate)),
            }
        }
        for (member, gate) in local {
            self.deliver(Delivery { member, gate, message: message.clone() }, now)?;
        }
        if matches!(message, Message::End) {
            self.members[i].ended = true;
            self.done = self.members.iter().all(|member| member.ended);
        }
        Ok(())
    }
}

impl Projection {
    fn apply(&self, batch: &Batch) -> Result<Batch, Fault> {
        let rows = batch.records().num_rows();
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| match column {
                Some(column) => Arc::clone(batch.column(*column)),
                None => new_null_array(&field.data_type.to_arrow(), rows),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(Arc::clone(self.schema.arrow()), columns, &options)
            .map_err(|error| Fault::invalid(format!("columns do not fit the reader's schema: {error}")))?;
        Ok(batch.with_records(records))
    }
}
