//! When checkpoints are made, and when they count. Pure: `apply(now, event)` says what to do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// Make a last checkpoint, after which nothing follows.
    Stop,
}

#[derive(Debug, PartialEq)]
pub enum Action {
    /// Tell every slot to begin.
    Inject(Barrier),
    /// Write the manifest, then decide.
    Decide(Box<Complete>),
    /// Make visible what sinks have prepared.
    Publish(CheckpointId),
    /// Nobody needs these any more: of a checkpoint that is too old, or that has failed.
    Delete(Vec<StateFile>),
    /// The last checkpoint is complete: the job is over.
    End,
    /// The job has failed.
    Fail(Fault),
}

/// A checkpoint whose every part has been written.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    pub checkpoint: CheckpointId,
    /// Every source had ended before it.
    pub is_finished: bool,
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
    /// Prepared for checkpoints that failed: part of the next one.
    carried: BTreeMap<Uid, Vec<serde_json::Value>>,
    is_stopping: bool,
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
            carried: BTreeMap::new(),
            is_stopping: false,
            is_over: false,
        }
    }

    /// Checkpoints that an earlier start of the job left, the newest last: they are deleted as newer ones come.
    pub fn inherit(&mut self, checkpoint: CheckpointId, files: BTreeSet<StateFile>) {
        self.complete.push_back((checkpoint, files));
    }

    /// When `Event::Time` is wanted.
    pub fn wake_at(&self) -> Timestamp {
        match &self.current {
            _ if self.is_over || self.finishing.is_some() => Timestamp::MAX,
            Some(current) if current.failed => Timestamp::MAX,
            Some(current) => current.started + self.plan.timeout,
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
            Event::Stop => self.is_stopping = true,
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
        let is_last = self.is_stopping || self.all_done();
        if self.is_over || self.current.is_some() || self.finishing.is_some() || !(is_last || now >= self.due) {
            return;
        }
        let checkpoint = self.next;
        self.next = CheckpointId(checkpoint.0 + 1);
        let may_increment = self.plan.is_incremental && self.increments < INCREMENTS_MAX && !self.chains.is_empty();
        let base = self.complete.back().map(|(newest, _)| *newest).filter(|_| may_increment);
        let barrier = Barrier { checkpoint, base, stops: is_last };
        self.due = now + self.plan.interval;
        self.current = Some(Current {
            barrier,
            started: now,
            is_finished: self.all_done(),
            unpassed: self.tasks.clone(),
            unwritten: self.tasks.clone(),
            members: Vec::new(),
            failed: false,
        });
        actions.push(Action::Inject(barrier));
    }

    fn expire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let timeout = self.plan.timeout;
        let Some(current) = &mut self.current else { return };
        if current.failed || current.started + timeout > now {
            return;
        }
        current.failed = true;
        let (id, passed) = (current.barrier.checkpoint, self.tasks.len() - current.unpassed.len());
        let seconds = timeout.0 / 1_000_000;
        let why = format!(
            "checkpoint {id} was not complete after {seconds} s (`timeout`): its barrier had passed {passed} of {} tasks",
            self.tasks.len()
        );
        self.failed(now, Fault::unavailable(why), actions);
    }

    /// Counts a checkpoint that has failed; too many of them fail the job.
    fn failed(&mut self, now: Timestamp, fault: Fault, actions: &mut Vec<Action>) {
        self.failures += 1;
        tracing::warn!("a checkpoint has failed: {fault}");
        self.due = self.due.max(now + self.plan.min_pause);
        // A last checkpoint is tried again; otherwise what was read since the one before would be lost.
        if self.failures > self.plan.tolerated_failures {
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
        if let Some(fault) = fault
            && !std::mem::replace(&mut current.failed, true)
        {
            self.failed(now, fault, actions);
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
        let files = written.flat_map(|written| written.files().cloned()).collect();
        actions.push(self.delete_unused(files));
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
                if let Some(complete) = self.finishing.take() {
                    self.carried = complete.committables;
                }
                self.failed(now, fault, actions);
            }
        }
    }

    fn published(&mut self, now: Timestamp, checkpoint: CheckpointId, actions: &mut Vec<Action>) {
        let Some(complete) = self.finishing.take_if(|complete| complete.checkpoint == checkpoint) else { return };
        self.failures = 0;
        self.due = self.due.max(now + self.plan.min_pause);
        self.increments = if complete.is_incremental { self.increments + 1 } else { 0 };
        let files = complete.chains.values().flat_map(Chain::all_files).cloned();
        let files = files.chain(self.manifest.take()).collect();
        self.chains = complete.chains;
        self.complete.push_back((checkpoint, files));
        self.delete_old(actions);
        if self.is_stopping || complete.is_finished {
            self.is_over = true;
            actions.push(Action::End);
        }
    }

    fn delete_old(&mut self, actions: &mut Vec<Action>) {
        while self.complete.len() > self.plan.retained {
            let Some((_, files)) = self.complete.pop_front() else { break };
            actions.push(self.delete_unused(files.into_iter().collect()));
        }
    }

    /// A file may belong to several checkpoints.
    fn delete_unused(&self, mut files: Vec<StateFile>) -> Action {
        files.retain(|file| !self.complete.iter().any(|(_, files)| files.contains(file)));
        Action::Delete(files)
    }
}
