//! When checkpoints are made, and when they count. Pure: `apply(now, event)` says what to do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::time::Timestamp;
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::worker::slot::TaskId;

use super::record::{Chain, MemberRecord, StateFile};

/// So many checkpoints in a row are made of what has changed; the next one is whole, so that chains of files stay short
/// and small files go.
const INCREMENTS_MAX: u32 = 10;

#[derive(Debug)]
pub enum Event {
    /// It is later than it was.
    Time,
    /// A barrier has passed this task, whose state is being written.
    Passed(TaskId, CheckpointId),
    /// The state of a task has been written; each member's file or why there is none.
    Written(TaskId, CheckpointId, Vec<MemberRecord>),
    /// `Decide` has been done, and this is the manifest. `Err` = the checkpoint has failed, and nothing was decided.
    Decided(CheckpointId, Result<StateFile, Fault>),
    /// The followers have published what the checkpoint covers.
    Published(CheckpointId),
    /// Every task of the slot is done: its sources have ended.
    Done(Slot),
    /// Make a savepoint as soon as no checkpoint is under way. Several wait for their turn.
    Savepoint(Savepoint),
    /// Make a last checkpoint, after which nothing follows.
    Stop,
    /// Let the sources end as if all had been read, then make a last checkpoint.
    Drain,
}

/// A checkpoint that somebody has asked for: whole, in a folder of its own, and never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    /// What it is called by whoever asked for it.
    pub request: u64,
    pub then: Then,
}

/// What comes after a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    GoOn,
    /// Nothing: sources emit nothing after its barrier.
    Stop,
    /// Nothing, and before it the sources end: the last watermark passes, every window fires.
    Drain,
}

#[derive(Debug, PartialEq)]
pub enum Action {
    /// The checkpoint that is injected next is this savepoint.
    Assign(CheckpointId, Savepoint),
    /// Tell every slot to begin.
    Inject(Barrier),
    /// Tell every slot that its sources have ended.
    Drain,
    /// Write the manifest, then decide.
    Decide(Box<Complete>),
    /// Make visible what sinks have prepared.
    Publish(CheckpointId),
    /// Nobody needs these any more: of checkpoints that are too old.
    Delete(Vec<StateFile>),
    /// The files of a checkpoint that has failed.
    Discard(CheckpointId, Vec<StateFile>),
    /// Tell whoever asked for the savepoint why there is none.
    Refuse(Savepoint, Fault),
    /// The last checkpoint is complete: the job is over.
    End,
    /// The job has failed.
    Fail(Fault),
}

/// A checkpoint whose every part has been written.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    pub checkpoint: CheckpointId,
    /// `None` = the system's own.
    pub savepoint: Option<Savepoint>,
    /// Every source had ended before it.
    pub is_finished: bool,
    /// Nothing was read after its barrier: the job is over with it.
    pub stops: bool,
    pub is_incremental: bool,
    pub members: Vec<MemberRecord>,
    /// The files that each member's state is in.
    pub chains: Chains,
    /// Of sinks, with those of checkpoints before that failed.
    pub committables: BTreeMap<Uid, Vec<serde_json::Value>>,
}

pub type Chains = BTreeMap<(Uid, Slot), Chain>;

struct Current {
    barrier: Barrier,
    savepoint: Option<Savepoint>,
    started: Timestamp,
    is_finished: bool,
    /// The barrier has not passed these.
    unpassed: BTreeSet<TaskId>,
    /// These have not been written.
    unwritten: BTreeSet<TaskId>,
    members: Vec<MemberRecord>,
    /// It will not count.
    failed: bool,
}

pub struct Coordinator {
    plan: CheckpointPlan,
    tasks: BTreeSet<TaskId>,
    slots: BTreeSet<Slot>,
    done: BTreeSet<Slot>,
    next: CheckpointId,
    due: Timestamp,
    current: Option<Current>,
    /// What is decided on or published at the moment.
    finishing: Option<Complete>,
    /// Of what is published at the moment.
    manifest: Option<StateFile>,
    /// Complete ones of this start of the job, the newest last, and what each one's files are.
    complete: VecDeque<(CheckpointId, BTreeSet<StateFile>)>,
    /// Of the newest.
    chains: Chains,
    increments: u32,
    /// In a row.
    failures: u32,
    /// All of them.
    failed: u64,
    /// Their turn has not come.
    savepoints: VecDeque<Savepoint>,
    /// Prepared for checkpoints that failed: part of the next one.
    carried: BTreeMap<Uid, Vec<serde_json::Value>>,
    is_stopping: bool,
    /// Sources are to end before the last checkpoint.
    drains: bool,
    /// They have been told.
    is_draining: bool,
    is_over: bool,
}

impl Coordinator {
    /// `next` is the number of the first checkpoint, due one interval after `now`.
    pub fn new(plan: CheckpointPlan, tasks: BTreeSet<TaskId>, next: CheckpointId, now: Timestamp) -> Self {
        let slots = tasks.iter().map(|task| task.slot).collect();
        let due = now + plan.interval;
        Self {
            plan,
            tasks,
            slots,
            done: BTreeSet::new(),
            next,
            due,
            current: None,
            finishing: None,
            manifest: None,
            complete: VecDeque::new(),
            chains: Chains::new(),
            increments: 0,
            failures: 0,
            failed: 0,
            savepoints: VecDeque::new(),
            carried: BTreeMap::new(),
            is_stopping: false,
            drains: false,
            is_draining: false,
            is_over: false,
        }
    }

    /// Checkpoints that an earlier start of the job left, the newest last: they are deleted as newer ones come.
    pub fn inherit(&mut self, checkpoint: CheckpointId, files: BTreeSet<StateFile>) {
        self.complete.push_back((checkpoint, files));
    }

    /// How many checkpoints have failed, savepoints among them.
    pub fn failed_count(&self) -> u64 {
        self.failed
    }

    /// When `Event::Time` is wanted.
    pub fn wake_at(&self) -> Timestamp {
        match &self.current {
            _ if self.is_over || self.finishing.is_some() => Timestamp::MAX,
            Some(current) if current.failed => Timestamp::MAX,
            Some(current) => current.started + self.plan.timeout,
            None if self.is_draining => Timestamp::MAX,
            None => self.due,
        }
    }

    pub fn apply(&mut self, now: Timestamp, event: Event) -> Vec<Action> {
        if self.is_over {
            return Vec::new();
        }
        let mut actions = Vec::new();
        match event {
            Event::Time => self.expire(now, &mut actions),
            Event::Passed(task, checkpoint) => {
                if let Some(current) = self.current_of(checkpoint) {
                    current.unpassed.remove(&task);
                }
            }
            Event::Written(task, checkpoint, members) => self.written(now, task, checkpoint, members, &mut actions),
            Event::Decided(checkpoint, result) => self.decided(now, checkpoint, result, &mut actions),
            Event::Published(checkpoint) => self.published(now, checkpoint, &mut actions),
            Event::Done(slot) => {
                self.done.insert(slot);
            }
            Event::Savepoint(savepoint) => self.savepoints.push_back(savepoint),
            Event::Stop => self.is_stopping = true,
            Event::Drain => self.drains = true,
        }
        self.begin(now, &mut actions);
        actions
    }

    fn current_of(&mut self, checkpoint: CheckpointId) -> Option<&mut Current> {
        self.current.as_mut().filter(|current| current.barrier.checkpoint == checkpoint)
    }

    fn all_done(&self) -> bool {
        self.done == self.slots
    }

    /// Begins a checkpoint if one is due and none is under way: a barrier never meets another one.
    fn begin(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.is_over || self.current.is_some() || self.finishing.is_some() {
            return;
        }
        let savepoint = self.savepoints.front().copied();
        self.drains |= savepoint.is_some_and(|savepoint| savepoint.then == Then::Drain);
        if self.drains && !self.all_done() {
            // There is no checkpoint until the sources have ended: one that had seen the last watermark of some of them
            // could not be gone on from.
            if !std::mem::replace(&mut self.is_draining, true) {
                actions.push(Action::Drain);
            }
            return;
        }
        let is_asked_for = savepoint.is_some_and(|savepoint| savepoint.then != Then::GoOn);
        let is_last = is_asked_for || self.is_stopping || self.all_done();
        if !(is_last || savepoint.is_some() || now >= self.due) {
            return;
        }
        self.savepoints.pop_front();
        let checkpoint = self.next;
        self.next = CheckpointId(checkpoint.0 + 1);
        let base = if savepoint.is_some() { None } else { self.base() };
        // Whoever moves a savepoint or changes the job wants no events of its inside.
        let may_overtake = savepoint.is_none() && !is_last;
        let overtakes_at = self.plan.unaligned_after.filter(|_| may_overtake).map(|after| now + after);
        let barrier = Barrier { checkpoint, base, overtakes_at, stops: is_last };
        self.due = now + self.plan.interval;
        self.current = Some(Current {
            barrier,
            savepoint,
            started: now,
            is_finished: self.all_done(),
            unpassed: self.tasks.clone(),
            unwritten: self.tasks.clone(),
            members: Vec::new(),
            failed: false,
        });
        actions.extend(savepoint.map(|savepoint| Action::Assign(checkpoint, savepoint)));
        actions.push(Action::Inject(barrier));
    }

    /// What the next checkpoint need not write again. Never a savepoint: that is the user's, who may move it.
    fn base(&self) -> Option<CheckpointId> {
        let may_increment = self.plan.is_incremental && self.increments < INCREMENTS_MAX && !self.chains.is_empty();
        self.complete.back().map(|(newest, _)| *newest).filter(|_| may_increment)
    }

    fn expire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let timeout = self.plan.timeout;
        let Some(current) = &mut self.current else { return };
        if current.failed || current.started + timeout > now {
            return;
        }
        current.failed = true;
        let savepoint = current.savepoint;
        let (id, passed) = (current.barrier.checkpoint, self.tasks.len() - current.unpassed.len());
        let seconds = timeout.0 / 1_000_000;
        let why = format!(
            "checkpoint {id} was not complete after {seconds} s (`timeout`): its barrier had passed {passed} of {} tasks",
            self.tasks.len()
        );
        self.failed(now, savepoint, Fault::unavailable(why), actions);
    }

    /// Counts a checkpoint that has failed; too many of them fail the job. A savepoint fails whoever asked for it, and
    /// the job only where that was to stop with it: its sources have stopped. Where sinks write in transactions, none is
    /// given up: its output is in one of its own, which the next checkpoint cannot take over.
    fn failed(&mut self, now: Timestamp, savepoint: Option<Savepoint>, fault: Fault, actions: &mut Vec<Action>) {
        self.failed += 1;
        if let Some(savepoint) = savepoint {
            tracing::warn!("a savepoint has failed: {fault}");
            actions.push(Action::Refuse(savepoint, fault.clone()));
            if savepoint.then != Then::GoOn || self.plan.transactions.is_some() {
                self.fail(fault, actions);
            }
            return;
        }
        self.failures += 1;
        tracing::warn!("a checkpoint has failed: {fault}");
        self.due = self.due.max(now + self.plan.min_pause);
        // A last checkpoint is tried again; otherwise what was read since the one before would be lost.
        if self.failures > self.plan.tolerated_failures || self.plan.transactions.is_some() {
            self.fail(fault, actions);
        }
    }

    fn fail(&mut self, fault: Fault, actions: &mut Vec<Action>) {
        self.is_over = true;
        actions.push(Action::Fail(fault));
    }

    fn written(
        &mut self,
        now: Timestamp,
        task: TaskId,
        checkpoint: CheckpointId,
        mut members: Vec<MemberRecord>,
        actions: &mut Vec<Action>,
    ) {
        let Some(current) = self.current_of(checkpoint) else { return };
        current.unpassed.remove(&task);
        current.unwritten.remove(&task);
        let fault = members.iter_mut().find_map(|member| member.written.as_mut().err().map(|fault| fault.clone()));
        current.members.append(&mut members);
        let savepoint = current.savepoint;
        if let Some(fault) = fault
            && !std::mem::replace(&mut current.failed, true)
        {
            self.failed(now, savepoint, fault, actions);
        }
        let Some(current) = self.current.take_if(|current| current.unwritten.is_empty()) else { return };
        if current.failed {
            self.carry(current, actions);
        } else {
            self.decide(current, actions);
        }
    }

    /// What sinks have prepared is not theirs any more: the next checkpoint covers it.
    fn carry(&mut self, failed: Current, actions: &mut Vec<Action>) {
        let written = failed.members.iter().filter_map(|member| member.written.as_ref().ok());
        let mut files: Vec<StateFile> = written.flat_map(|written| written.files().cloned()).collect();
        self.keep_used(&mut files);
        actions.push(Action::Discard(failed.barrier.checkpoint, files));
        for member in failed.members {
            if !member.committables.is_empty() {
                self.carried.entry(member.uid).or_default().extend(member.committables);
            }
        }
    }

    fn decide(&mut self, current: Current, actions: &mut Vec<Action>) {
        let mut committables = std::mem::take(&mut self.carried);
        let mut chains = Chains::new();
        for member in &current.members {
            if !member.committables.is_empty() {
                committables.entry(member.uid.clone()).or_default().extend(member.committables.iter().cloned());
            }
            let key = (member.uid.clone(), member.slot);
            let mut chain = match member.is_incremental {
                true => self.chains.get(&key).cloned().unwrap_or_default(),
                false => Chain::default(),
            };
            if let Ok(written) = &member.written {
                chain.files.extend(written.file.clone());
                chain.native = written.native.clone();
            }
            chains.insert(key, chain);
        }
        let complete = Complete {
            checkpoint: current.barrier.checkpoint,
            savepoint: current.savepoint,
            stops: current.barrier.stops,
            is_finished: current.is_finished,
            is_incremental: current.barrier.base.is_some(),
            members: current.members,
            chains,
            committables,
        };
        self.finishing = Some(complete.clone());
        actions.push(Action::Decide(Box::new(complete)));
    }

    fn decided(
        &mut self,
        now: Timestamp,
        checkpoint: CheckpointId,
        result: Result<StateFile, Fault>,
        actions: &mut Vec<Action>,
    ) {
        match result {
            Ok(manifest) => {
                self.manifest = Some(manifest);
                actions.push(Action::Publish(checkpoint));
            }
            Err(fault) => {
                let Some(complete) = self.finishing.take() else { return };
                self.carried = complete.committables;
                self.failed(now, complete.savepoint, fault, actions);
            }
        }
    }

    fn published(&mut self, now: Timestamp, checkpoint: CheckpointId, actions: &mut Vec<Action>) {
        let Some(complete) = self.finishing.take_if(|complete| complete.checkpoint == checkpoint) else { return };
        if complete.stops {
            self.is_over = true;
        }
        let manifest = self.manifest.take();
        if complete.savepoint.is_some() {
            // If the job fails now it starts from the savepoint, which the user may move: not for long.
            self.due = self.due.min(now + self.plan.min_pause);
        } else {
            self.failures = 0;
            self.due = self.due.max(now + self.plan.min_pause);
            self.increments = if complete.is_incremental { self.increments + 1 } else { 0 };
            let files = complete.chains.values().flat_map(Chain::all_files).cloned().chain(manifest).collect();
            self.chains = complete.chains;
            self.complete.push_back((checkpoint, files));
            self.delete_old(actions);
        }
        if self.is_over {
            actions.push(Action::End);
        }
    }

    fn delete_old(&mut self, actions: &mut Vec<Action>) {
        while self.complete.len() > self.plan.retained {
            let Some((_, files)) = self.complete.pop_front() else { break };
            let mut files: Vec<StateFile> = files.into_iter().collect();
            self.keep_used(&mut files);
            actions.push(Action::Delete(files));
        }
    }

    /// Takes those out of `files` that a complete checkpoint needs: a file may belong to several.
    fn keep_used(&self, files: &mut Vec<StateFile>) {
        files.retain(|file| !self.complete.iter().any(|(_, files)| files.contains(file)));
    }
}

#[cfg(test)]
mod tests;
