//! Timers beside a model of them: moved out and in, and gone on with from what either backend has left.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;

use super::super::testing::{Kept, Seen};
use super::super::{RocksDb, Scope};
use super::*;
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::id::{Parallelism, Slot, Uid};
use crate::model::key_group::{KeyHash, groups_of};
use crate::plan::state_backend::RocksDbPlan;
use crate::state::KeyedState;
use crate::state::timers::Timers;

const GROUPS: u16 = 8;
const NAMES: u32 = 3;
const CONTENT: Content = Content::EventTimers;
/// For about twenty keys.
const BYTES_MAX: usize = 5 << 10;
/// More of them do not fit, if each key has one.
const IN_MEMORY_MAX: usize = BYTES_MAX / 240;

fn rocksdb(folder: &std::path::Path) -> RocksDb {
    let mut plan = RocksDbPlan::new(folder.join("state"));
    plan.cache_bytes_max = BYTES_MAX;
    plan.block_cache_bytes_max = 64 << 10;
    plan.write_buffer_bytes_max = 256 << 10;
    RocksDb::start(&plan).unwrap()
}

/// Where timers go that do not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Memory,
    RocksDb { is_native: bool },
}

struct OneSlot {
    groups: Range<u16>,
    timers: Timers,
    state: Option<RocksDbState>,
}

impl OneSlot {
    fn new(rocksdb: &RocksDb, backend: Backend, groups: Range<u16>) -> Self {
        let state = match backend {
            Backend::Memory => None,
            Backend::RocksDb { is_native } => {
                let scope = Scope { states: Vec::new(), groups: groups.clone(), max_parallelism: GROUPS, is_native };
                // No other slot has this number at the same time.
                Some(rocksdb.open(&Uid::from("op"), Slot(groups.start), scope).unwrap())
            }
        };
        Self { timers: Timers::new(CONTENT, GROUPS), groups, state }
    }

    fn owns(&self, key: &[u8]) -> bool {
        self.groups.contains(&KeyHash::of(key).group(GROUPS).0)
    }

    fn change(&mut self, changes: &[(Vec<u8>, u32, Option<i64>)]) {
        let changes: Vec<_> = changes.iter().filter(|(key, ..)| self.owns(key)).collect();
        if let Some(store) = self.state.as_mut().and_then(KeyedState::timers) {
            let keys: BTreeSet<&[u8]> = changes.iter().map(|(key, ..)| &key[..]).collect();
            self.timers.bring(keys.into_iter().map(|key| (key, KeyHash::of(key))), store).unwrap();
        }
        for (key, timer, at) in changes {
            match at {
                Some(at) => self.timers.set(key, KeyHash::of(key), *timer, Timestamp(*at)),
                None => self.timers.cancel(key, KeyHash::of(key), *timer),
            }
        }
        if let Some(store) = self.state.as_mut().and_then(KeyedState::timers) {
            self.timers.make_room(store).unwrap();
        }
    }

    fn take_due(&mut self, now: i64, limit: usize) -> Vec<Timer> {
        let store = self.state.as_mut().and_then(KeyedState::timers);
        let due = self.timers.take_due(Timestamp(now), limit, store).unwrap();
        due.into_iter().map(|due| (due.at.0, due.key.to_vec(), due.timer)).collect()
    }

    fn snapshot(&mut self, barrier: &Barrier, kept: &mut Kept) {
        self.timers.snapshot(barrier).write(kept).unwrap();
        if let Some(state) = &mut self.state {
            state.snapshot(barrier).unwrap().write(kept).unwrap();
        }
    }

    fn restore(&mut self, kept: &Kept, timers: &[Option<u32>]) {
        let mut seen = Seen { kept, groups: self.groups.clone() };
        if let Some(state) = &mut self.state {
            state.restore(&mut seen, &mut []).unwrap();
        }
        let store = self.state.as_mut().and_then(KeyedState::timers);
        self.timers.restore(&mut seen, timers, store).unwrap();
    }
}

/// Time, key, number.
type Timer = (i64, Vec<u8>, u32);

#[derive(Clone, Debug)]
enum Step {
    /// Timers are set, or cancelled.
    Change(Vec<(u16, u32, Option<i64>)>),
    /// So much time passes, and what is due then is taken, so many at a time.
    Pass(i64, usize),
    Checkpoint,
    /// A checkpoint, and going on from it.
    Restore {
        backend: Backend,
        parallelism: u16,
        /// What becomes of each number.
        timers: [Option<u32>; NAMES as usize],
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0u16..120, 0..NAMES, prop::option::weighted(0.8, 0i64..300));
    let changes = prop::collection::vec(change, 1..60).prop_map(Step::Change);
    let pass = (0i64..60, prop_oneof![1usize..10, Just(usize::MAX)]).prop_map(|(by, limit)| Step::Pass(by, limit));
    let backend = prop_oneof![1 => Just(Backend::Memory), 4 => any::<bool>().prop_map(|is_native| Backend::RocksDb { is_native })];
    let timers = prop_oneof![
        3 => Just([Some(0), Some(1), Some(2)]),
        1 => Just([Some(2), None, Some(0)]),
        1 => Just([None, None, Some(1)]),
    ];
    let restore = (backend, 1u16..4, timers).prop_map(|(backend, parallelism, timers)| Step::Restore {
        backend,
        parallelism,
        timers,
    });
    prop::collection::vec(prop_oneof![6 => changes, 4 => pass, 1 => Just(Step::Checkpoint), 2 => restore], 1..50)
}

fn key(number: u16) -> Vec<u8> {
    format!("key {number}\0").into_bytes()
}

struct Job {
    backend: Backend,
    slots: Vec<OneSlot>,
    model: BTreeMap<(Vec<u8>, u32), i64>,
    now: i64,
    /// The last checkpoint of these slots, and what its chain of checkpoints has left.
    last: Option<CheckpointId>,
    kept: Kept,
}

impl Job {
    fn new(rocksdb: &RocksDb, backend: Backend, parallelism: u16) -> Self {
        let parallelism = Parallelism::new(parallelism).unwrap();
        let groups = parallelism.slots().map(|slot| groups_of(slot, parallelism, GROUPS));
        let slots = groups.map(|groups| OneSlot::new(rocksdb, backend, groups)).collect();
        Self { backend, slots, model: BTreeMap::new(), now: 0, last: None, kept: Kept::default() }
    }

    fn change(&mut self, changes: Vec<(u16, u32, Option<i64>)>) {
        let changes: Vec<_> =
            changes.into_iter().map(|(number, timer, at)| (key(number), timer, at.map(|at| self.now + at))).collect();
        self.slots.iter_mut().for_each(|slot| slot.change(&changes));
        for (key, timer, at) in changes {
            match at {
                Some(at) => self.model.insert((key, timer), at),
                None => self.model.remove(&(key, timer)),
            };
        }
    }

    fn pass(&mut self, by: i64, limit: usize) {
        self.now += by;
        for slot in &mut self.slots {
            let mut expected: Vec<Timer> = self
                .model
                .iter()
                .filter(|(_, at)| **at <= self.now)
                .map(|((key, timer), at)| (*at, key.clone(), *timer))
                .filter(|(_, key, _)| slot.owns(key))
                .collect();
            expected.sort();
            for expected in expected.chunks(limit) {
                assert_eq!(slot.take_due(self.now, limit), expected);
            }
            assert_eq!(slot.take_due(self.now, limit), []);
        }
        self.model.retain(|_, at| *at > self.now);
    }

    fn checkpoint(&mut self, checkpoint: u64) {
        // Of one that stands alone nothing older counts.
        let is_incremental = self.backend != Backend::RocksDb { is_native: false };
        let base = self.last.filter(|_| is_incremental);
        if base.is_none() {
            self.kept = Kept::default();
        }
        self.kept.files.clear();
        let barrier = Barrier { checkpoint: CheckpointId(checkpoint), base, overtakes_at: None, stops: false };
        self.slots.iter_mut().for_each(|slot| slot.snapshot(&barrier, &mut self.kept));
        self.last = Some(barrier.checkpoint);
    }

    fn restored(self, rocksdb: &RocksDb, backend: Backend, parallelism: u16, timers: &[Option<u32>]) -> Self {
        let Self { model, now, kept, slots, .. } = self;
        // Memory cannot take over files.
        let backend = if kept.files.is_empty() { backend } else { Backend::RocksDb { is_native: true } };
        drop(slots);
        let renumbered = |((key, timer), at)| timers[timer as usize].map(|timer| ((key, timer), at));
        let model = model.into_iter().filter_map(renumbered).collect();
        let mut next = Self { model, now, ..Self::new(rocksdb, backend, parallelism) };
        next.slots.iter_mut().for_each(|slot| slot.restore(&kept, timers));
        next
    }

    fn check(&self) {
        for slot in &self.slots {
            let of_slot = self.model.iter().filter(|((key, _), _)| slot.owns(key));
            assert_eq!(slot.timers.len(), of_slot.clone().count());
            assert_eq!(slot.timers.is_empty(), of_slot.clone().next().is_none());
            let first = of_slot.map(|(_, at)| *at).min();
            assert!(first.is_none_or(|first| slot.timers.next().is_some_and(|next| next.0 <= first)));
            if slot.state.is_some() {
                assert!(slot.timers.len_in_memory() <= IN_MEMORY_MAX * NAMES as usize);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn timers_are_a_map_that_gives_what_is_due_in_order_wherever_they_are(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let rocksdb = rocksdb(folder.path());
        let mut job = Job::new(&rocksdb, Backend::RocksDb { is_native: true }, 1);
        for (step, checkpoint) in steps.into_iter().zip(1..) {
            match step {
                Step::Change(changes) => job.change(changes),
                Step::Pass(by, limit) => job.pass(by, limit),
                Step::Checkpoint => job.checkpoint(checkpoint),
                Step::Restore { backend, parallelism, timers } => {
                    job.checkpoint(checkpoint);
                    job = job.restored(&rocksdb, backend, parallelism, &timers);
                }
            }
            job.check();
        }
        job.pass(1_000, 7);
        job.check();
    }
}

/// Timers that are due together are in memory page by page.
#[test]
fn what_is_due_together_stays_within_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = rocksdb(folder.path());
    let mut job = Job::new(&rocksdb, Backend::RocksDb { is_native: true }, 1);
    let keys = 20_000u16;
    let numbers: Vec<u16> = (0..keys).collect();
    for numbers in numbers.chunks(100) {
        job.change(numbers.iter().map(|number| (*number, 0, Some(10))).collect());
        job.check();
        assert!(job.slots[0].timers.len_in_memory() <= IN_MEMORY_MAX);
    }
    let mut expected: Vec<_> = numbers.into_iter().map(key).collect();
    expected.sort();
    for expected in expected.chunks(50) {
        let due: Vec<_> = job.slots[0].take_due(10, 50).into_iter().map(|(_, key, _)| key).collect();
        assert_eq!(due, expected);
        assert!(job.slots[0].timers.len_in_memory() <= IN_MEMORY_MAX);
    }
    assert!(job.slots[0].timers.is_empty());
}

/// So checkpoints were before timers could leave memory: files with the rows, and chunks with all timers.
#[test]
fn timers_that_are_all_in_chunks_beside_files_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = rocksdb(folder.path());
    let mut job = Job::new(&rocksdb, Backend::Memory, 2);
    job.change((0..500).map(|number| (number, u32::from(number) % NAMES, Some(i64::from(number)))).collect());
    job.checkpoint(1);
    let barrier = Barrier { checkpoint: CheckpointId(1), base: None, overtakes_at: None, stops: false };
    for groups in [0..4, 4..8] {
        let mut slot = OneSlot::new(&rocksdb, Backend::RocksDb { is_native: true }, groups);
        slot.state.as_mut().unwrap().snapshot(&barrier).unwrap().write(&mut job.kept).unwrap();
    }
    job = job.restored(&rocksdb, Backend::RocksDb { is_native: true }, 3, &[Some(0), Some(1), Some(2)]);
    job.check();
    assert!(job.slots.iter().all(|slot| slot.timers.has_stored()));
    job.pass(1_000, 20);
}

/// Keys whose timers are moved again and again do not go to RocksDB each time.
#[test]
fn what_is_moved_stays_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = rocksdb(folder.path());
    let mut job = Job::new(&rocksdb, Backend::RocksDb { is_native: true }, 1);
    let mut in_memory = 0;
    for round in 0..500 {
        let moved = (0..4).map(|number| (number, 0, Some(1_000 + i64::from(round))));
        let new = (0..4).map(|number| (100 + 4 * round + number, 0, Some(1_000)));
        job.change(moved.chain(new).collect());
        in_memory += (0..4)
            .filter(|number| {
                let key = key(*number);
                job.slots[0].timers.count(&key, KeyHash::of(&key)) == 1
            })
            .count();
    }
    assert!(in_memory > 1_900, "{in_memory} of 2000");
}
