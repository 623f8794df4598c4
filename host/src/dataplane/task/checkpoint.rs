//! Checkpoints of a task: it waits until the barrier has come on every inlet, remembers what its members are then, and
//! lets the barrier go on (aligned barriers: Carbone et al., "Lightweight Asynchronous Snapshots for Distributed
//! Dataflows", 2015). Inlets that have ended count as aligned (as Flink's FLIP-147).

use crate::dataplane::exchange::Router;
use crate::dataplane::snapshot::{MemberSnapshot, MemberState, OperatorSnapshot, Restored, TaskSnapshot, Watermarks};
use crate::model::checkpoint::Barrier;
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::message::Message;
use crate::model::time::Timestamp;

use super::{Destination, Member, Running, Task, TimeAssigner, Work};

impl Task {
    /// Goes on from a checkpoint; before the first step. `remembers` = this slot keeps what is of no slot.
    pub fn restore(&mut self, from: &dyn Restored, remembers: bool) -> Result<(), Fault> {
        for member in &mut self.members {
            if let Some(state) = from.member(&member.uid)? {
                member.restore(state, remembers).map_err(|fault| fault.at(&member.uid))?;
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
        if !self.inlets.iter().all(|inlet| inlet.aligned || inlet.ended) {
            return Ok(());
        }
        self.barrier = None;
        self.inlets.iter_mut().for_each(|inlet| inlet.aligned = false);
        let members = self.members.iter_mut().map(|member| member.snapshot(&barrier));
        let members = members.collect::<Result<_, Fault>>()?;
        self.routers().for_each(|router| router.announce(&Message::Barrier(barrier)));
        self.snapshot = Some(TaskSnapshot { barrier, members });
        self.passed = Some(barrier.checkpoint);
        self.stopped = barrier.stops;
        Ok(())
    }

    fn routers(&mut self) -> impl Iterator<Item = &mut Router> {
        // Nobody listens to a member that has said `End`.
        let members = self.members.iter_mut().filter(|member| !member.ended);
        members.flat_map(|member| member.edges.iter_mut().flatten()).filter_map(|edge| match &mut edge.to {
            Destination::Channels(router) => Some(router),
            Destination::Member { .. } => None,
        })
    }

    /// What the last barrier that has passed left, once.
    pub fn take_snapshot(&mut self) -> Option<TaskSnapshot> {
        self.snapshot.take()
    }
}

impl Member {
    fn snapshot(&mut self, barrier: &Barrier) -> Result<MemberSnapshot, Fault> {
        let uid = self.uid.clone();
        match &mut self.work {
            Work::Source(source) => {
                let progress = Watermarks { input: Timestamp::MIN, latest: None };
                Ok(MemberSnapshot { uid, progress, state: OperatorSnapshot::default(), splits: source.snapshot() })
            }
            Work::Operator(Running { operator, merge, assigner }) => {
                let latest = assigner.as_ref().map(TimeAssigner::latest);
                let progress = Watermarks { input: merge.watermark(), latest };
                let state = operator.snapshot(barrier).map_err(|fault| fault.at(&uid))?;
                Ok(MemberSnapshot { uid, progress, state, splits: Vec::new() })
            }
        }
    }

    fn restore(&mut self, mut state: MemberState, remembers: bool) -> Result<(), Fault> {
        match &mut self.work {
            Work::Source(source) => source.restore(state.splits, remembers),
            Work::Operator(Running { operator, merge, assigner }) => {
                merge.restore(state.progress.input);
                if let (Some(assigner), Some(latest)) = (assigner, state.progress.latest) {
                    assigner.restore(latest);
                }
                operator.restore(&mut state)
            }
        }
    }
}
