//! Windows larger than memory beside windows in memory: the same rows in the same order, whatever is snapshot and
//! restored between.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::fixture::*;
use super::properties::{setup, steps};
use crate::dataplane::operator::{Collector, Operator};
use crate::dataplane::snapshot::{MemberState, Watermarks};
use crate::dataplane::window::WindowOperator;
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::time::Timestamp;
use crate::plan::state_backend::RocksDbPlan;
use crate::storage::rocksdb::RocksDb;
use crate::storage::rocksdb::testing::{Kept, Seen};

const GROUPS: Range<u16> = 0..128;

fn rocksdb(folder: &Path) -> RocksDb {
    let mut plan = RocksDbPlan::new(folder.join("state"));
    plan.write_buffer_bytes_max = 256 << 10;
    plan.block_cache_bytes_max = 256 << 10;
    RocksDb::start(&plan).unwrap()
}

/// Where an operator keeps its panes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Memory,
    Spill { bytes_max: usize, is_native: bool },
}

impl Place {
    fn is_native(self) -> bool {
        matches!(self, Self::Spill { is_native: true, .. })
    }

    /// `start` makes the folder one of its own.
    fn operator(self, setup: &Setup, rocksdb: &RocksDb, start: u16) -> WindowOperator {
        let operator = setup.operator();
        let Self::Spill { bytes_max, is_native } = self else { return operator };
        let store = rocksdb.spill(&Uid::from("w"), Slot(start), GROUPS, GROUPS.end, is_native);
        operator.with_spill(Box::new(store), bytes_max)
    }
}

fn place() -> impl Strategy<Value = Place> {
    let spill = (prop_oneof![2 => Just(0), 1 => 0usize..20_000], any::<bool>());
    prop_oneof![
        5 => spill.prop_map(|(bytes_max, is_native)| Place::Spill { bytes_max, is_native }),
        1 => Just(Place::Memory),
    ]
}

fn checkpoint(operator: &mut WindowOperator, checkpoint: u64) -> Arc<Kept> {
    let barrier = Barrier { checkpoint: CheckpointId(checkpoint), base: None, overtakes_at: None, stops: false };
    let mut kept = Kept::default();
    for frozen in operator.snapshot(&barrier).unwrap().frozen {
        frozen.write(&mut kept).unwrap();
    }
    Arc::new(kept)
}

fn restore(operator: &mut WindowOperator, kept: &Arc<Kept>, watermark: i64) -> Result<(), Fault> {
    operator.restore(&mut MemberState {
        checkpoint: CheckpointId(1),
        ahead: Vec::new(),
        progress: Watermarks { input: Timestamp(watermark), latest: None },
        chunks: Box::new(Seen { kept: Arc::clone(kept), groups: GROUPS }),
        states: Vec::new(),
        accumulators: Vec::new(),
        timers: Vec::new(),
        splits: Vec::new(),
    })
}

/// Merging in a store is merging too: what fails to merge fails earlier there.
fn without_failing_merges(steps: Vec<Step>) -> Vec<Step> {
    let change = |event: Event| Event { number: event.number.filter(|number| *number != FAILS_MERGE), ..event };
    let change = |step| match step {
        Step::Batch(events) => Step::Batch(events.into_iter().map(change).collect()),
        other => other,
    };
    steps.into_iter().map(change).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_does_not_show_where_panes_are(
        setup in setup(),
        steps in steps().prop_map(without_failing_merges),
        first in place(),
        next in prop::collection::vec(prop::option::weighted(0.3, place()), 14),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let rocksdb = rocksdb(folder.path());
        let (mut memory, mut expected) = (setup.operator(), Outcome::default());
        let mut place = first;
        let (mut operator, mut outcome) = (place.operator(&setup, &rocksdb, 0), Outcome::default());
        let mut watermark = i64::MIN;
        for (i, (step, then)) in steps.iter().zip(next.into_iter().map(Some)).chain([(&Step::End, None)]).enumerate() {
            expected.step_with(&mut memory, step, setup.gaps).unwrap();
            outcome.step_with(&mut operator, step, setup.gaps).unwrap();
            if let Step::Watermark(at) = step {
                watermark = watermark.max(*at);
            }
            // Memory does not read the files of the other.
            let then = then.flatten().filter(|then| !(place.is_native() && matches!(then, Place::Memory)));
            if let Some(then) = then {
                let kept = checkpoint(&mut operator, 1 + i as u64);
                drop(operator);
                place = then;
                operator = place.operator(&setup, &rocksdb, 1 + i as u16);
                restore(&mut operator, &kept, watermark).unwrap();
            }
        }
        prop_assert_eq!(&outcome.fired, &expected.fired);
        prop_assert_eq!((&outcome.late, outcome.late_rows), (&expected.late, expected.late_rows));
        let reasons = |outcome: &Outcome| outcome.dead_letters.iter().map(|dead| dead.reason.clone()).collect::<Vec<_>>();
        prop_assert_eq!(reasons(&outcome), reasons(&expected));
        prop_assert_eq!(operator.live_panes(), 0);
    }
}

fn with_keys(keys: Range<i64>) -> Step {
    Step::Batch(keys.map(|key| Event { time: key % 10, key: Some(key), number: Some(1), ..Event::default() }).collect())
}

#[test]
fn memory_stays_within_its_bound_and_so_does_what_a_call_gives_out() {
    const BYTES_MAX: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = rocksdb(folder.path());
    for setup in [Setup::new(10, 10), Setup::new(20, 10)] {
        let mut operator = Place::Spill { bytes_max: BYTES_MAX, is_native: true }.operator(&setup, &rocksdb, 0);
        let mut outcome = Outcome::default();
        let mut most = 0;
        for batch in 0..200 {
            outcome.step(&mut operator, &with_keys(batch * 500..batch * 500 + 500)).unwrap();
            most = most.max(operator.held_bytes());
        }
        assert!((BYTES_MAX / 4..=BYTES_MAX).contains(&most), "{most} bytes of panes in memory");
        let (mut rows, mut calls) = (0, 0);
        while calls == 0 || operator.has_more() {
            let mut out = Collector::new(Timestamp(0));
            operator.on_watermark(Timestamp::MAX, &mut out).unwrap();
            assert!(out.rows() < 64 << 10, "{} rows of one call", out.rows());
            rows += out.rows();
            calls += 1;
        }
        assert_eq!(rows as i64, 100_000 * setup.size / 10);
        assert!(calls > 1);
    }
}

#[test]
fn memory_refuses_panes_in_rocksdbs_own_files_and_reads_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = rocksdb(folder.path());
    let setup = Setup::new(10, 10);
    for (start, bytes_max, is_native) in [(0, 0, true), (1, 0, false), (2, 1 << 20, true)] {
        let mut operator = Place::Spill { bytes_max, is_native }.operator(&setup, &rocksdb, start);
        Outcome::default().step(&mut operator, &with_keys(0..100)).unwrap();
        let kept = checkpoint(&mut operator, 1);
        let mut memory = setup.operator();
        let restored = restore(&mut memory, &kept, i64::MIN);
        if is_native && bytes_max == 0 {
            assert!(restored.unwrap_err().message.contains("incremental = false"));
            continue;
        }
        restored.unwrap();
        let mut outcome = Outcome::default();
        outcome.step(&mut memory, &Step::End).unwrap();
        assert_eq!(outcome.fired.len(), 100);
    }
}

/// The slots of a job change, and each takes the groups that it owns of what others had.
#[test]
fn slots_share_out_what_is_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = rocksdb(folder.path());
    let setup = Setup::new(10, 10);
    let open = |slot: u16, groups: Range<u16>| {
        let store = rocksdb.spill(&Uid::from("w"), Slot(slot), groups, GROUPS.end, true);
        setup.operator().with_spill(Box::new(store), 0)
    };
    let mut one = open(0, GROUPS);
    Outcome::default().step(&mut one, &with_keys(0..1000)).unwrap();
    let mut kept = checkpoint(&mut one, 1);
    let mut start = 1;
    for slots in [4u16, 2, 1] {
        let mut next = Kept::default();
        for slot in 0..slots {
            let groups = slot * (128 / slots)..(slot + 1) * (128 / slots);
            let mut operator = open(start, groups.clone());
            start += 1;
            operator
                .restore(&mut MemberState {
                    checkpoint: CheckpointId(1),
                    ahead: Vec::new(),
                    progress: Watermarks { input: Timestamp::MIN, latest: None },
                    chunks: Box::new(Seen { kept: Arc::clone(&kept), groups }),
                    states: Vec::new(),
                    accumulators: Vec::new(),
                    timers: Vec::new(),
                    splits: Vec::new(),
                })
                .unwrap();
            let barrier = Barrier { checkpoint: CheckpointId(2), base: None, overtakes_at: None, stops: false };
            for frozen in operator.snapshot(&barrier).unwrap().frozen {
                frozen.write(&mut next).unwrap();
            }
            let mut outcome = Outcome::default();
            outcome.step(&mut operator, &Step::End).unwrap();
            let share = 1000 / usize::from(slots);
            assert!(outcome.fired.len().abs_diff(share) <= share / 3, "{} of 1000 rows", outcome.fired.len());
        }
        kept = Arc::new(next);
    }
    let mut last = open(start, GROUPS);
    restore(&mut last, &kept, i64::MIN).unwrap();
    let mut outcome = Outcome::default();
    outcome.step(&mut last, &Step::End).unwrap();
    assert_eq!(outcome.fired.len(), 1000);
}
