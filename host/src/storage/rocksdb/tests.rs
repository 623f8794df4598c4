//! The backend beside the memory backend: the same calls, the same answers, whatever is snapshot and restored between.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::testing::{Kept, Seen};
use super::*;
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::FaultKind;
use crate::model::id::{Parallelism, Slot, Uid};
use crate::model::key::Keys;
use crate::model::key_group::{KeyHash, groups_of};
use crate::model::value::Values;
use crate::plan::state_backend::RocksDbPlan;
use crate::state::memory::MemoryState;
use crate::state::{FormerState, KeyedState};

const GROUPS: u16 = 8;
/// One state of fixed width and one of any length.
const WIDTHS: [Option<usize>; 2] = [Some(4), None];

fn barrier(checkpoint: u64) -> Barrier {
    Barrier { checkpoint: CheckpointId(checkpoint), base: None, overtakes_at: None, stops: false }
}

/// Memory for about fifty rows.
fn tiny(folder: &Path) -> RocksDb {
    let mut plan = RocksDbPlan::new(folder.join("state"));
    plan.cache_bytes_max = 5 << 10;
    plan.block_cache_bytes_max = 64 << 10;
    plan.write_buffer_bytes_max = 256 << 10;
    RocksDb::start(&plan).unwrap()
}

fn open(rocksdb: &RocksDb, groups: Range<u16>, is_native: bool) -> RocksDbState {
    let scope = Scope { widths: WIDTHS.to_vec(), groups, max_parallelism: GROUPS, is_native };
    rocksdb.open(&Uid::from("op"), Slot(groups_start(&scope)), scope).unwrap()
}

/// A slot's number that no other slot of a test has at the same time.
fn groups_start(scope: &Scope) -> u16 {
    scope.groups.start
}

fn columns(widths: &[Option<usize>]) -> Vec<Values> {
    widths.iter().map(|width| Values::new(*width)).collect()
}

fn keys_of(numbers: impl IntoIterator<Item = u16>) -> Keys {
    let mut keys = Keys::default();
    for number in numbers {
        let key = format!("key {number}");
        keys.push(key.as_bytes(), KeyHash::of(key.as_bytes()));
    }
    keys
}

fn load(state: &mut dyn KeyedState, keys: &Keys) -> Vec<Values> {
    let mut states = columns(&WIDTHS);
    state.load(keys, &mut states).unwrap();
    states
}

/// A job of one operator on both backends.
struct Pair {
    slots: Vec<(Range<u16>, MemoryState, RocksDbState)>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Every key gets these values.
    Batch(Vec<u16>, Option<u32>, Option<Vec<u8>>),
    /// A checkpoint, and going on from it with so many slots; each backend from its own or from the other's.
    Restore { parallelism: u16, is_native: bool, crosses: bool },
    /// A checkpoint, and going on as before.
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..60));
    let keys = prop::collection::btree_set(0u16..300, 1..60).prop_map(|keys| keys.into_iter().collect());
    let batch = (keys, prop::option::weighted(0.7, any::<u32>()), value).prop_map(|(k, n, t)| Step::Batch(k, n, t));
    let restore = (1u16..4, any::<bool>(), any::<bool>()).prop_map(|(parallelism, is_native, crosses)| Step::Restore {
        parallelism,
        is_native,
        crosses,
    });
    prop::collection::vec(prop_oneof![12 => batch, 2 => restore, 1 => Just(Step::Checkpoint)], 1..40)
}

impl Pair {
    fn new(rocksdb: &RocksDb, parallelism: u16, is_native: bool) -> Self {
        let parallelism = Parallelism::new(parallelism).unwrap();
        let slots = parallelism.slots().map(|slot| groups_of(slot, parallelism, GROUPS)).map(|groups| {
            let memory = MemoryState::new(GROUPS, WIDTHS.to_vec());
            (groups.clone(), memory, open(rocksdb, groups, is_native))
        });
        Self { slots: slots.collect() }
    }

    fn batch(&mut self, numbers: &[u16], number: Option<u32>, text: Option<&[u8]>) {
        for (groups, memory, rocksdb) in &mut self.slots {
            let all = keys_of(numbers.iter().copied());
            let mut keys = Keys::default();
            for (i, key) in all.iter().enumerate().filter(|(i, _)| groups.contains(&all.hash(*i).group(GROUPS).0)) {
                keys.push(key, all.hash(i));
            }
            assert_eq!(load(memory, &keys), load(rocksdb, &keys));
            let mut states = columns(&WIDTHS);
            for _ in 0..keys.len() {
                states[0].push(number.map(u32::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
                states[1].push(text);
            }
            memory.store(&keys, &states).unwrap();
            rocksdb.store(&keys, &states).unwrap();
            assert_eq!(memory.live_keys(), rocksdb.live_keys());
        }
    }

    /// Everything, of both.
    fn snapshot(&mut self, checkpoint: u64) -> (Kept, Kept) {
        let (mut of_memory, mut of_rocksdb) = (Kept::default(), Kept::default());
        for (_, memory, rocksdb) in &mut self.slots {
            memory.snapshot(&barrier(checkpoint)).unwrap().write(&mut of_memory).unwrap();
            rocksdb.snapshot(&barrier(checkpoint)).unwrap().write(&mut of_rocksdb).unwrap();
        }
        (of_memory, of_rocksdb)
    }

    fn restore(&mut self, of_memory: &Kept, of_rocksdb: &Kept, former: &[FormerState]) {
        for (groups, memory, rocksdb) in &mut self.slots {
            memory.restore(&mut Seen { kept: of_memory, groups: groups.clone() }, former).unwrap();
            rocksdb.restore(&mut Seen { kept: of_rocksdb, groups: groups.clone() }, former).unwrap();
        }
    }
}

fn same() -> Vec<FormerState> {
    WIDTHS.iter().enumerate().map(|(i, width)| FormerState { width: *width, number: Some(i) }).collect()
}

fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = tiny(folder.path());
    let mut is_native = true;
    let mut pair = Pair::new(&rocksdb, 1, is_native);
    for (step, checkpoint) in steps.into_iter().zip(1..) {
        match step {
            Step::Batch(keys, number, text) => pair.batch(&keys, number, text.as_deref()),
            Step::Checkpoint => drop(pair.snapshot(checkpoint)),
            Step::Restore { parallelism, is_native: next, crosses } => {
                let (of_memory, of_rocksdb) = pair.snapshot(checkpoint);
                drop(pair);
                pair = Pair::new(&rocksdb, parallelism, next);
                match crosses && !is_native {
                    true => pair.restore(&of_rocksdb, &of_memory, &same()),
                    false => pair.restore(&of_memory, &of_rocksdb, &same()),
                }
                is_native = next;
            }
        }
    }
    pair.batch(&(0..300).collect::<Vec<_>>(), None, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn it_agrees_with_the_memory_backend(steps in steps()) {
        run(steps);
    }
}

#[test]
fn states_that_changed_are_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = tiny(folder.path());
    let mut pair = Pair::new(&rocksdb, 2, true);
    pair.batch(&(0..200).collect::<Vec<_>>(), Some(7), Some(b"text"));
    pair.batch(&(0..20).collect::<Vec<_>>(), Some(8), None);
    let (of_memory, of_rocksdb) = pair.snapshot(1);
    drop(pair);
    let mut pair = Pair::new(&rocksdb, 2, true);
    // The text is new, and what was one is gone.
    let former = [FormerState { width: Some(4), number: None }, FormerState { width: None, number: Some(1) }];
    pair.restore(&of_memory, &of_rocksdb, &former);
    assert_eq!(pair.slots.iter().map(|(_, _, rocksdb)| rocksdb.live_keys()).sum::<usize>(), 180);
    pair.batch(&(0..200).collect::<Vec<_>>(), Some(9), None);
}

#[test]
fn memory_stays_within_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = open(&tiny(folder.path()), 0..GROUPS, true);
    for batch in 0..200 {
        let keys = keys_of(batch * 50..batch * 50 + 50);
        let mut states = load(&mut state, &keys);
        states.iter_mut().for_each(Values::clear);
        for _ in 0..keys.len() {
            states[0].push(Some(&[1; 4]));
            states[1].push(Some(&[2; 100]));
        }
        state.store(&keys, &states).unwrap();
        // A batch is in it as a whole.
        assert!(state.cache.bytes() <= (5 << 10) + 50 * 250, "{}", state.cache.bytes());
    }
    assert_eq!(state.live_keys(), 10_000);
}

/// A file of entries of a checkpoint in which every byte that can be is another one.
fn damaged(kept: &Kept) -> PathBuf {
    let files = kept.files.iter().flat_map(|files| fs::read_dir(files.folder.path()).unwrap());
    let path = files.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "sst"));
    let path = path.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_damaged_file_is_a_fault_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = tiny(folder.path());
    let mut pair = Pair::new(&rocksdb, 1, true);
    pair.batch(&(0..300).collect::<Vec<_>>(), Some(7), Some(b"text"));
    let (_, kept) = pair.snapshot(1);
    drop(pair);
    let path = damaged(&kept);
    let mut state = open(&rocksdb, 0..GROUPS, true);
    let restored = state.restore(&mut Seen { kept: &kept, groups: 0..GROUPS }, &same());
    let read = restored.and_then(|()| state.load(&keys_of(0..300), &mut columns(&WIDTHS)));
    let fault = read.unwrap_err();
    let name = path.file_name().unwrap().to_string_lossy();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.message.contains("damaged") && fault.message.contains(&*name), "{fault}");
}
