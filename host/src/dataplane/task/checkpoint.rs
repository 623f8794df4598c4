//! Checkpoints of a task: it waits until the barrier has come on every inlet, remembers what its members are then, and
//! lets the barrier go on (aligned barriers: Carbone et al., "Lightweight Asynchronous Snapshots for Distributed
//! Dataflows", 2015). Inlets that have ended count as aligned (as Flink's FLIP-147).
//!
//! A barrier that has waited for too long overtakes: the members are remembered as they are, the barrier goes on, and what
//! comes before it on the other inlets becomes part of the snapshot (unaligned barriers: Flink's FLIP-76). Every task
//! hears of a checkpoint from the slot as well, so the barrier need not overtake anything within a channel.

use crate::dataplane::exchange::Router;
use crate::dataplane::in_flight::InFlight;
use crate::dataplane::snapshot::{MemberSnapshot, MemberState, OperatorSnapshot, Restored, TaskSnapshot, Watermarks};
use crate::model::batch::Batch;
use crate::model::checkpoint::Barrier;
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::message::Message;
use crate::model::time::Timestamp;

use super::{Delivery, Destination, Edge, InletState, Member, Running, Task, TimeAssigner, Work};

/// A snapshot that is complete when the barrier has come on every inlet that it has overtaken.
pub(super) struct Overtaking {
    snapshot: TaskSnapshot,
    /// By member.
    kept: Vec<Vec<Batch>>,
}

impl Overtaking {
    fn keep(&mut self, delivery: &Delivery) {
        // Watermarks are said again after a restore.
        if let Message::Batch(batch) = &delivery.message {
            self.kept[delivery.member].push(batch.clone());
        }
    }
}

impl Task {
    /// Goes on from a checkpoint; before the first step. `remembers` = this slot keeps what is of no slot.
    pub fn restore(&mut self, from: &dyn Restored, remembers: bool) -> Result<(), Fault> {
        // Readers first: what was in flight to them is older than what their writers make of what was in flight to these, who
        // may have been in another task.
        for (i, member) in self.members.iter_mut().enumerate().rev() {
            if let Some(mut state) = from.member(&member.uid)? {
                let in_flight = member.restore(&mut state, remembers).map_err(|fault| fault.at(&member.uid))?;
                // What is broadcast is never overtaken, and its gates are not the first.
                let gates = self.inlets.iter().filter(|inlet| inlet.member == i).map(|inlet| inlet.gate);
                let gate = gates.min().filter(|gate| !member.is_broadcast_gate(*gate)).unwrap_or(0);
                let deliver = |batch| Delivery { member: i, gate, message: Message::Batch(batch) };
                self.held.extend(in_flight.into_iter().map(deliver));
                fail_point::reach("restore.middle");
            }
        }
        Ok(())
    }

    /// Begins a checkpoint: sources inject the barrier. A task that has channels to read waits for it there too. One
    /// checkpoint at a time.
    pub fn begin_checkpoint(&mut self, barrier: Barrier) -> Result<(), Fault> {
        if self.passed.is_some_and(|passed| barrier.checkpoint <= passed) {
            // It came by a channel first.
            return Ok(());
        }
        match self.barrier {
            Some(other) if other != barrier => {
                let (new, old) = (barrier.checkpoint, other.checkpoint);
                return Err(Fault::internal(format!(
                    "the barrier of checkpoint {new} came before that of {old} had passed"
                )));
            }
            _ => self.barrier = Some(barrier),
        }
        self.align()
    }

    /// Makes the snapshot if the barrier has come everywhere, and all that came before it has been given out.
    pub(super) fn align(&mut self) -> Result<(), Fault> {
        let Some(barrier) = self.barrier.filter(|_| self.unfinished.is_empty()) else { return Ok(()) };
        let has_come = |state| matches!(state, InletState::Aligned | InletState::Ended);
        if !self.held.is_empty() || !self.inlets.iter().all(|inlet| has_come(inlet.state)) {
            return Ok(());
        }
        let snapshot = self.pass(barrier)?;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// When the barrier that is waited for overtakes, if it may.
    pub(super) fn overtakes_at(&self) -> Option<Timestamp> {
        let at = self.barrier?.overtakes_at;
        at.filter(|_| self.inlets.iter().all(|inlet| inlet.may_be_overtaken))
    }

    /// Lets the barrier go on, if it has waited for long enough; keeps what it passes by.
    pub(super) fn overtake(&mut self, now: Timestamp) -> Result<(), Fault> {
        if let Some(barrier) = self.barrier
            && self.overtakes_at().is_some_and(|at| at <= now)
            && self.unfinished.is_empty()
        {
            let waited_for: Vec<bool> = self.inlets.iter().map(|inlet| inlet.state == InletState::Open).collect();
            let mut overtaking =
                Overtaking { snapshot: self.pass(barrier)?, kept: vec![Vec::new(); self.members.len()] };
            self.held.iter().for_each(|delivery| overtaking.keep(delivery));
            self.overtaking = Some(overtaking);
            for (inlet, waited_for) in self.inlets.iter_mut().zip(waited_for) {
                if waited_for {
                    inlet.state = InletState::Overtaken;
                }
            }
        }
        self.keep_overtaken();
        Ok(())
    }

    /// Takes what comes before the barrier out of the channels, whether or not there is room for what comes of it.
    fn keep_overtaken(&mut self) {
        let Some(overtaking) = &mut self.overtaking else { return };
        for inlet in self.inlets.iter_mut().filter(|inlet| inlet.state == InletState::Overtaken) {
            while inlet.state == InletState::Overtaken
                && let Some(message) = inlet.inlet.receive()
            {
                match message {
                    Message::Barrier(_) => inlet.state = InletState::Open,
                    message => {
                        if matches!(message, Message::End) {
                            inlet.state = InletState::Ended;
                        }
                        let delivery = Delivery { member: inlet.member, gate: inlet.gate, message };
                        overtaking.keep(&delivery);
                        self.held.push_back(delivery);
                    }
                }
            }
        }
        if self.inlets.iter().any(|inlet| inlet.state == InletState::Overtaken) {
            return;
        }
        let Some(Overtaking { mut snapshot, kept }) = self.overtaking.take() else { return };
        let checkpoint = snapshot.barrier.checkpoint;
        for ((member, of), batches) in snapshot.members.iter_mut().zip(&self.members).zip(kept) {
            if let (Work::Operator(running), false) = (&of.work, batches.is_empty()) {
                member.in_flight = batches.iter().map(|batch| batch.rows() as u64).sum();
                let in_flight = InFlight { checkpoint, intake: running.intake.clone(), batches };
                member.state.frozen.push(Box::new(in_flight));
            }
        }
        self.snapshot = Some(snapshot);
    }

    /// What the members are when the barrier goes on.
    fn pass(&mut self, barrier: Barrier) -> Result<TaskSnapshot, Fault> {
        self.barrier = None;
        for inlet in self.inlets.iter_mut().filter(|inlet| inlet.state == InletState::Aligned) {
            inlet.state = InletState::Open;
        }
        let members = self.members.iter_mut().map(|member| member.snapshot(&barrier));
        let members = members.collect::<Result<_, Fault>>()?;
        self.routers().for_each(|router| router.announce(&Message::Barrier(barrier)));
        self.passed = Some(barrier.checkpoint);
        self.stopped = barrier.stops;
        Ok(TaskSnapshot { barrier, members })
    }

    fn routers(&mut self) -> impl Iterator<Item = &mut Router> {
        // Nobody listens to a member that has said `End`.
        self.members.iter_mut().filter(|member| !member.ended).flat_map(|member| routers(&mut member.edges))
    }

    /// What the last barrier that has passed left, once.
    pub fn take_snapshot(&mut self) -> Option<TaskSnapshot> {
        self.snapshot.take()
    }
}

fn routers(edges: &mut [Vec<Edge>]) -> impl Iterator<Item = &mut Router> {
    edges.iter_mut().flatten().filter_map(|edge| match &mut edge.to {
        Destination::Channels(router) => Some(router),
        Destination::Member { .. } => None,
    })
}

impl Member {
    fn is_broadcast_gate(&self, gate: usize) -> bool {
        matches!(&self.work, Work::Operator(running) if gate >= running.first_broadcast_gate)
    }

    fn snapshot(&mut self, barrier: &Barrier) -> Result<MemberSnapshot, Fault> {
        let uid = self.uid.clone();
        match &mut self.work {
            Work::Source(source) => {
                let progress = Watermarks { input: Timestamp::MIN, latest: None };
                let (state, splits) = (OperatorSnapshot::default(), source.snapshot().map_err(|fault| fault.at(&uid))?);
                Ok(MemberSnapshot { uid, progress, state, splits, in_flight: 0 })
            }
            Work::Operator(running) => {
                let Running { operator, merge, assigner, .. } = running.as_mut();
                let latest = assigner.as_ref().map(TimeAssigner::latest);
                let progress = Watermarks { input: merge.watermark(), latest };
                let state = operator.snapshot(barrier).map_err(|fault| fault.at(&uid))?;
                Ok(MemberSnapshot { uid, progress, state, splits: Vec::new(), in_flight: 0 })
            }
        }
    }

    /// Returns the events that had not reached it.
    fn restore(&mut self, state: &mut MemberState, remembers: bool) -> Result<Vec<Batch>, Fault> {
        match &mut self.work {
            Work::Source(source) => {
                source.restore(std::mem::take(&mut state.splits), remembers)?;
                Ok(Vec::new())
            }
            Work::Operator(running) => {
                let Running { operator, merge, assigner, intake, .. } = running.as_mut();
                let watermark = state.progress.input;
                merge.restore(watermark);
                match assigner {
                    Some(assigner) => assigner.restore(state.progress.latest.unwrap_or(Timestamp::MIN)),
                    // It may have been in flight.
                    None => routers(&mut self.edges).for_each(|router| router.announce(&Message::Watermark(watermark))),
                }
                operator.restore(state)?;
                intake.restore(state.chunks.as_mut(), state.checkpoint)
            }
        }
    }
}
