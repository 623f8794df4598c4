use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::control::checkpoint::record::Written;
use crate::dataplane::snapshot::Watermarks;
use crate::model::time::Micros;
use crate::plan::connector::KafkaCluster;
use crate::plan::fault_tolerance::TransactionPlan;
use crate::plan::location::Location;

const TASKS: [TaskId; 2] = [TaskId { slot: Slot(0), task: 0 }, TaskId { slot: Slot(1), task: 0 }];

/// A coordinator, and what came of the last event.
struct Bench {
    coordinator: Coordinator,
    now: Timestamp,
    /// Not looked at yet.
    actions: VecDeque<Action>,
}

fn plan() -> CheckpointPlan {
    CheckpointPlan {
        location: Location::Folder(PathBuf::new()),
        interval: Micros(100),
        min_pause: Micros(0),
        timeout: Micros(30),
        unaligned_after: None,
        tolerated_failures: 0,
        retained: 1,
        is_incremental: true,
        transactions: None,
    }
}

impl Bench {
    fn new(plan: CheckpointPlan) -> Self {
        let coordinator = Coordinator::new(plan, TASKS.into(), CheckpointId(1), Timestamp(0));
        Self { coordinator, now: Timestamp(0), actions: VecDeque::new() }
    }

    fn tell(&mut self, event: Event) {
        self.actions.extend(self.coordinator.apply(self.now, event));
    }

    /// Waits until the coordinator wants to be woken.
    fn wait(&mut self) {
        self.now = self.coordinator.wake_at();
        assert_ne!(self.now, Timestamp::MAX);
        self.tell(Event::Time);
    }

    fn next(&mut self) -> Action {
        self.actions.pop_front().expect("something to do")
    }

    fn nothing(&self) {
        assert_eq!(self.actions, [], "nothing to do");
    }

    fn injected(&mut self) -> Barrier {
        match self.next() {
            Action::Inject(barrier) => barrier,
            other => panic!("{other:?} instead of a barrier"),
        }
    }

    /// Both tasks write a file of this checkpoint.
    fn write(&mut self, barrier: Barrier) {
        for task in TASKS {
            self.tell(Event::Passed(task, barrier.checkpoint));
            self.tell(Event::Written(task, barrier.checkpoint, vec![member(task, barrier)]));
        }
    }

    /// From `Decide` to the end of a checkpoint; returns what was decided on.
    fn finish(&mut self) -> Complete {
        let complete = match self.next() {
            Action::Decide(complete) => *complete,
            other => panic!("{other:?} instead of a decision"),
        };
        self.nothing();
        self.tell(Event::Decided(complete.checkpoint, Ok(file(format!("manifest-{}", complete.checkpoint)))));
        assert_eq!(self.next(), Action::Publish(complete.checkpoint));
        self.nothing();
        self.tell(Event::Published(complete.checkpoint));
        complete
    }

    /// A whole checkpoint.
    fn checkpoint(&mut self) -> (Barrier, Complete) {
        let barrier = self.injected();
        self.write(barrier);
        (barrier, self.finish())
    }
}

fn file(key: String) -> StateFile {
    StateFile { key, bytes: 7 }
}

fn member(task: TaskId, barrier: Barrier) -> MemberRecord {
    MemberRecord {
        uid: Uid::from("op"),
        slot: task.slot,
        progress: Watermarks { input: Timestamp::MIN, latest: None },
        ahead: Vec::new(),
        splits: Vec::new(),
        in_flight: 0,
        committables: vec![json!(format!("{}-{}", barrier.checkpoint, task.slot.0))],
        is_incremental: barrier.base.is_some(),
        written: Ok(Written { file: Some(file(format!("{}-{}", barrier.checkpoint, task.slot.0))), native: None }),
    }
}

fn deleted(action: Action) -> Vec<String> {
    match action {
        Action::Delete(files) | Action::Discard(_, files) => files.into_iter().map(|file| file.key).collect(),
        other => panic!("{other:?} deletes nothing"),
    }
}

fn keys(chain: &Chain) -> Vec<&str> {
    chain.files.iter().map(|file| file.key.as_str()).collect()
}

fn savepoint(request: u64, then: Then) -> Savepoint {
    Savepoint { request, then }
}

#[test]
fn a_checkpoint_is_due_after_each_interval_and_takes_what_has_changed() {
    let mut bench = Bench::new(CheckpointPlan { retained: 2, ..plan() });
    bench.tell(Event::Time);
    bench.nothing();
    bench.wait();
    let (first, complete) = bench.checkpoint();
    assert_eq!(
        (bench.now, first),
        (Timestamp(100), Barrier { checkpoint: CheckpointId(1), base: None, overtakes_at: None, stops: false })
    );
    assert_eq!(keys(&complete.chains[&(Uid::from("op"), Slot(0))]), ["1-0"]);
    bench.nothing();
    bench.wait();
    let (second, complete) = bench.checkpoint();
    assert_eq!((bench.now, second.base), (Timestamp(200), Some(CheckpointId(1))));
    assert_eq!(keys(&complete.chains[&(Uid::from("op"), Slot(1))]), ["1-1", "2-1"]);
    assert!(complete.is_incremental);
    bench.nothing();
}

#[test]
fn between_two_checkpoints_there_is_a_pause() {
    let mut bench = Bench::new(CheckpointPlan { min_pause: Micros(90), tolerated_failures: 1, ..plan() });
    bench.wait();
    let slow = bench.injected();
    assert_eq!(bench.now, Timestamp(100));
    // The next one would be due at 200.
    bench.now = Timestamp(125);
    bench.write(slow);
    bench.now = Timestamp(140);
    bench.finish();
    bench.wait();
    let late = bench.injected();
    assert_eq!((bench.now, late.checkpoint), (Timestamp(230), CheckpointId(2)));
    // The same behind one that has failed, which would be followed by the next at 330.
    bench.wait();
    assert_eq!(bench.now, Timestamp(260));
    bench.now = Timestamp(270);
    bench.write(late);
    assert_eq!(deleted(bench.next()), ["2-0", "2-1"]);
    bench.nothing();
    bench.wait();
    assert_eq!((bench.now, bench.injected().checkpoint), (Timestamp(350), CheckpointId(3)));
}

#[test]
fn old_checkpoints_go_but_no_file_that_a_newer_one_names() {
    let mut bench = Bench::new(plan());
    bench.coordinator.inherit(CheckpointId(0), BTreeSet::from([file("inherited".to_owned())]));
    bench.wait();
    bench.checkpoint();
    assert_eq!(deleted(bench.next()), ["inherited"]);
    bench.wait();
    bench.checkpoint();
    assert_eq!(deleted(bench.next()), ["manifest-1"], "the files of 1 are part of 2");
    for _ in 0..INCREMENTS_MAX - 1 {
        bench.wait();
        bench.checkpoint();
        bench.next();
    }
    bench.wait();
    let (whole, _) = bench.checkpoint();
    assert_eq!(whole.base, None, "after {INCREMENTS_MAX} increments all is written");
    let gone = deleted(bench.next());
    assert!(gone.contains(&"1-0".to_owned()) && gone.contains(&"11-1".to_owned()), "{gone:?}");
    assert!(gone.iter().all(|key| !key.starts_with("12-")), "{gone:?}");
}

#[test]
fn one_that_is_late_fails_and_its_committables_are_part_of_the_next() {
    let mut bench = Bench::new(CheckpointPlan { tolerated_failures: 1, ..plan() });
    bench.wait();
    let late = bench.injected();
    bench.tell(Event::Written(TASKS[0], late.checkpoint, vec![member(TASKS[0], late)]));
    bench.wait();
    assert_eq!(bench.now, Timestamp(130));
    bench.nothing();
    bench.now = Timestamp(500);
    bench.tell(Event::Time);
    bench.nothing();
    // Only when every task has written may the next one begin: barriers do not meet.
    bench.tell(Event::Written(TASKS[1], late.checkpoint, vec![member(TASKS[1], late)]));
    assert_eq!(deleted(bench.next()), ["1-0", "1-1"]);
    let (next, complete) = bench.checkpoint();
    assert_eq!((next.checkpoint, next.base), (CheckpointId(2), None));
    assert_eq!(complete.committables[&Uid::from("op")], [json!("1-0"), json!("1-1"), json!("2-0"), json!("2-1")]);
    assert_eq!(bench.coordinator.failed_count(), 1);
    bench.nothing();
}

#[test]
fn where_sinks_write_in_transactions_no_checkpoint_is_given_up() {
    let cluster = KafkaCluster { brokers: String::new(), properties: BTreeMap::new() };
    let transactions = Some(TransactionPlan { cluster, timeout: Micros(1_000), queue_bytes_max: 1 });
    let plan = || CheckpointPlan { tolerated_failures: 9, transactions: transactions.clone(), ..plan() };
    let mut late = Bench::new(plan());
    late.wait();
    late.injected();
    late.wait();
    assert!(matches!(late.next(), Action::Fail(fault) if fault.message.contains("`timeout`")));

    let mut unwritten = Bench::new(plan());
    unwritten.tell(Event::Savepoint(savepoint(1, Then::GoOn)));
    assert_eq!(unwritten.next(), Action::Assign(CheckpointId(1), savepoint(1, Then::GoOn)));
    let barrier = unwritten.injected();
    unwritten.write(barrier);
    let Action::Decide(complete) = unwritten.next() else { panic!() };
    unwritten.tell(Event::Decided(complete.checkpoint, Err(Fault::unavailable("the disk is full"))));
    assert!(matches!(unwritten.next(), Action::Refuse(..)));
    assert!(matches!(unwritten.next(), Action::Fail(_)));
}

#[test]
fn so_many_failures_in_a_row_are_tolerated() {
    let mut bench = Bench::new(CheckpointPlan { tolerated_failures: 1, ..plan() });
    let fault = || Fault::unavailable("the disk is full");
    let fail = |bench: &mut Bench| {
        bench.wait();
        let barrier = bench.injected();
        bench.write(barrier);
        let Action::Decide(complete) = bench.next() else { panic!() };
        bench.tell(Event::Decided(complete.checkpoint, Err(fault())));
    };
    fail(&mut bench);
    bench.nothing();
    bench.wait();
    let (_, complete) = bench.checkpoint();
    assert_eq!(complete.committables[&Uid::from("op")].len(), 4, "what was not decided on is carried");
    fail(&mut bench);
    bench.nothing();
    fail(&mut bench);
    assert_eq!(bench.next(), Action::Fail(fault()));
    bench.tell(Event::Stop);
    bench.nothing();
}

#[test]
fn a_file_that_cannot_be_written_fails_the_checkpoint() {
    let mut bench = Bench::new(plan());
    bench.wait();
    let barrier = bench.injected();
    let broken = MemberRecord { written: Err(Fault::unavailable("no")), ..member(TASKS[0], barrier) };
    bench.tell(Event::Written(TASKS[0], barrier.checkpoint, vec![broken]));
    assert_eq!(bench.next(), Action::Fail(Fault::unavailable("no")));
}

#[test]
fn a_stop_waits_for_the_checkpoint_under_way_and_makes_a_last_one() {
    let mut bench = Bench::new(plan());
    bench.wait();
    let barrier = bench.injected();
    bench.tell(Event::Stop);
    bench.nothing();
    bench.write(barrier);
    bench.finish();
    let (last, complete) = bench.checkpoint();
    assert!(last.stops && complete.stops && !complete.is_finished);
    assert_eq!(deleted(bench.next()), ["manifest-1"]);
    assert_eq!(bench.next(), Action::End);
    assert_eq!(bench.coordinator.wake_at(), Timestamp::MAX);
}

#[test]
fn a_job_whose_sources_have_ended_makes_a_last_checkpoint() {
    let mut bench = Bench::new(plan());
    bench.tell(Event::Done(Slot(1)));
    bench.nothing();
    bench.tell(Event::Done(Slot(0)));
    let (last, complete) = bench.checkpoint();
    assert!(last.stops && complete.is_finished);
    assert_eq!(bench.next(), Action::End);
}

#[test]
fn a_savepoint_is_whole_and_neither_a_base_nor_ever_deleted() {
    let mut bench = Bench::new(plan());
    bench.wait();
    bench.checkpoint();
    bench.now = Timestamp(150);
    bench.tell(Event::Savepoint(savepoint(7, Then::GoOn)));
    assert_eq!(bench.next(), Action::Assign(CheckpointId(2), savepoint(7, Then::GoOn)));
    let (barrier, complete) = bench.checkpoint();
    assert_eq!((barrier.base, barrier.stops), (None, false));
    assert_eq!((complete.savepoint, complete.is_incremental), (Some(savepoint(7, Then::GoOn)), false));
    assert_eq!(keys(&complete.chains[&(Uid::from("op"), Slot(0))]), ["2-0"]);
    // The job would start from the savepoint, which may be moved: a checkpoint follows at once, on the last one's base.
    let (next, complete) = bench.checkpoint();
    assert_eq!((bench.now, next.base), (Timestamp(150), Some(CheckpointId(1))));
    assert_eq!(keys(&complete.chains[&(Uid::from("op"), Slot(0))]), ["1-0", "3-0"]);
    assert_eq!(deleted(bench.next()), ["manifest-1"]);
    bench.nothing();
}

#[test]
fn savepoints_wait_for_their_turn() {
    let mut bench = Bench::new(plan());
    bench.wait();
    let checkpoint = bench.injected();
    bench.tell(Event::Savepoint(savepoint(1, Then::GoOn)));
    bench.tell(Event::Savepoint(savepoint(2, Then::Stop)));
    bench.nothing();
    bench.write(checkpoint);
    bench.finish();
    assert_eq!(bench.next(), Action::Assign(CheckpointId(2), savepoint(1, Then::GoOn)));
    assert!(!bench.checkpoint().0.stops);
    assert_eq!(bench.next(), Action::Assign(CheckpointId(3), savepoint(2, Then::Stop)));
    let (last, complete) = bench.checkpoint();
    assert!(last.stops && complete.stops && !complete.is_finished);
    assert_eq!(bench.next(), Action::End);
}

#[test]
fn a_savepoint_that_fails_fails_nobody_but_who_asked() {
    let mut bench = Bench::new(plan());
    bench.tell(Event::Savepoint(savepoint(1, Then::GoOn)));
    bench.next();
    let barrier = bench.injected();
    let fault = Fault::unavailable("no such folder");
    for task in TASKS {
        let broken = MemberRecord { written: Err(fault.clone()), ..member(task, barrier) };
        bench.tell(Event::Written(task, barrier.checkpoint, vec![broken]));
    }
    assert_eq!(bench.next(), Action::Refuse(savepoint(1, Then::GoOn), fault));
    assert_eq!(bench.next(), Action::Discard(CheckpointId(1), vec![]));
    bench.nothing();
    bench.wait();
    let (_, complete) = bench.checkpoint();
    assert_eq!(complete.committables[&Uid::from("op")].len(), 4);
    bench.nothing();
}

#[test]
fn a_job_that_was_to_stop_with_a_savepoint_that_fails_starts_again() {
    let mut bench = Bench::new(CheckpointPlan { tolerated_failures: 9, ..plan() });
    bench.tell(Event::Savepoint(savepoint(1, Then::Stop)));
    bench.next();
    bench.injected();
    bench.wait();
    assert!(matches!(bench.next(), Action::Refuse(..)));
    assert!(matches!(bench.next(), Action::Fail(_)), "its sources have stopped");
}

#[test]
fn draining_makes_no_checkpoint_until_the_sources_have_ended() {
    let mut bench = Bench::new(plan());
    bench.wait();
    let checkpoint = bench.injected();
    bench.tell(Event::Savepoint(savepoint(1, Then::Drain)));
    bench.nothing();
    bench.write(checkpoint);
    bench.finish();
    assert_eq!(bench.next(), Action::Drain);
    assert_eq!(bench.coordinator.wake_at(), Timestamp::MAX);
    bench.now = Timestamp(10_000);
    bench.tell(Event::Done(Slot(0)));
    bench.tell(Event::Stop);
    bench.nothing();
    bench.tell(Event::Done(Slot(1)));
    assert_eq!(bench.next(), Action::Assign(CheckpointId(2), savepoint(1, Then::Drain)));
    let (last, complete) = bench.checkpoint();
    assert!(last.stops && complete.is_finished);
    assert_eq!(bench.next(), Action::End);
}

#[test]
fn a_drained_job_without_a_savepoint_ends_with_a_checkpoint() {
    let mut bench = Bench::new(plan());
    bench.tell(Event::Drain);
    assert_eq!(bench.next(), Action::Drain);
    bench.tell(Event::Done(Slot(0)));
    bench.tell(Event::Done(Slot(1)));
    let (_, complete) = bench.checkpoint();
    assert!(complete.is_finished && complete.savepoint.is_none());
    assert_eq!(bench.next(), Action::End);
}
