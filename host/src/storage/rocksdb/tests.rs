//! The backend beside the memory backend: the same calls, the same answers, whatever is snapshot and restored between.

use std::collections::BTreeSet;
use std::fs;
use std::ops::{Bound, ControlFlow, Range};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::testing::{Kept, Seen};
use super::*;
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::FaultKind;
use crate::model::id::{Parallelism, Slot, Uid};
use crate::model::key::Keys;
use crate::model::key_group::{KeyHash, groups_of};
use crate::model::time::Timestamp;
use crate::model::value::Values;
use crate::plan::state_backend::RocksDbPlan;
use crate::state::entries;
use crate::state::expiry::Expired;
use crate::state::memory::MemoryState;
use crate::state::{AddressRange, FormerState, KeyedState, StateLayout};

const GROUPS: u16 = 8;
/// A value of fixed width, entries, a value of any length that expires, and entries that expire, twice.
const STATES: [StateLayout; 5] = [
    StateLayout::Value { width: Some(4), expires: false },
    StateLayout::Entries { expires: false },
    StateLayout::Value { width: None, expires: true },
    StateLayout::Entries { expires: true },
    StateLayout::Entries { expires: true },
];
/// Of the values.
const WIDTHS: [Option<usize>; 2] = [Some(4), None];
/// The states of entries, and whether they expire.
const ENTRIES: [(usize, bool); 3] = [(1, false), (3, true), (4, true)];

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
    let scope = Scope { states: STATES.to_vec(), groups, max_parallelism: GROUPS, is_native };
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
        let key = format!("key {number}\0");
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
    /// What is written has this time.
    now: i64,
}

#[derive(Clone, Debug)]
enum Step {
    /// Every key gets these values.
    Batch(Vec<u16>, Option<u32>, Option<Vec<u8>>),
    /// Every key gets this value at these places of one of the states of entries, or loses it.
    Put {
        keys: Vec<u16>,
        state: usize,
        places: Range<u8>,
        value: Option<Vec<u8>>,
    },
    Clear(Vec<u16>, usize),
    /// What is older than so many batches has expired.
    Sweep(i64),
    /// A checkpoint, and going on from it with so many slots; each backend from its own or from the other's.
    Restore {
        parallelism: u16,
        is_native: bool,
        crosses: bool,
    },
    /// A checkpoint, and going on as before.
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..60));
    let keys = prop::collection::btree_set(0u16..300, 1..60).prop_map(|keys| keys.into_iter().collect());
    let keys = keys.boxed();
    let number = prop::option::weighted(0.7, any::<u32>());
    let batch = (keys.clone(), number, value.clone()).prop_map(|(k, n, t)| Step::Batch(k, n, t));
    let put = (keys.clone(), 0..ENTRIES.len(), 0u8..40, 0u8..9, value).prop_map(|(keys, state, from, count, value)| {
        let places = from..from + count;
        Step::Put { keys, state, places, value }
    });
    let clear = (keys, 0..ENTRIES.len()).prop_map(|(keys, state)| Step::Clear(keys, state));
    let restore = (1u16..4, any::<bool>(), any::<bool>()).prop_map(|(parallelism, is_native, crosses)| Step::Restore {
        parallelism,
        is_native,
        crosses,
    });
    let sweep = (0i64..5).prop_map(Step::Sweep);
    let step = prop_oneof![8 => batch, 6 => put, 1 => clear, 1 => sweep, 2 => restore, 1 => Just(Step::Checkpoint)];
    prop::collection::vec(step, 1..40)
}

impl Pair {
    fn new(rocksdb: &RocksDb, parallelism: u16, is_native: bool) -> Self {
        let parallelism = Parallelism::new(parallelism).unwrap();
        let slots = parallelism.slots().map(|slot| groups_of(slot, parallelism, GROUPS)).map(|groups| {
            let memory = MemoryState::new(GROUPS, STATES);
            (groups.clone(), memory, open(rocksdb, groups, is_native))
        });
        Self { slots: slots.collect(), now: 0 }
    }

    fn batch(&mut self, numbers: &[u16], number: Option<u32>, text: Option<&[u8]>) {
        self.now += 1;
        let text = text.map(|text| stamped(self.now, text));
        let text = text.as_deref();
        for (groups, memory, rocksdb) in &mut self.slots {
            let keys = owned(groups, numbers);
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

    fn put(&mut self, numbers: &[u16], state: usize, places: Range<u8>, value: Option<&[u8]>) {
        self.now += 1;
        let (state, expires) = ENTRIES[state];
        let value = value.map(|value| if expires { stamped(self.now, value) } else { value.to_vec() });
        for (groups, memory, rocksdb) in &mut self.slots {
            let keys = owned(groups, numbers);
            let (mut addresses, mut values, mut address) = (Keys::default(), Values::new(None), Vec::new());
            for (i, key) in keys.iter().enumerate() {
                for place in places.clone() {
                    entries::address(state, key, &[place], &mut address);
                    addresses.push(&address, keys.hash(i));
                    values.push(value.as_deref());
                }
            }
            let got = [memory as &mut dyn KeyedState, rocksdb].map(|backend| {
                let mut got = Values::new(None);
                backend.get_entries(&addresses, &mut got).unwrap();
                backend.put_entries(&addresses, &values).unwrap();
                got
            });
            assert_eq!(got[0], got[1]);
        }
        self.compare_entries();
    }

    fn clear(&mut self, numbers: &[u16], state: usize) {
        for (groups, memory, rocksdb) in &mut self.slots {
            let keys = owned(groups, numbers);
            let (mut prefixes, mut prefix) = (Keys::default(), Vec::new());
            for (i, key) in keys.iter().enumerate() {
                entries::address(ENTRIES[state].0, key, &[], &mut prefix);
                prefixes.push(&prefix, keys.hash(i));
            }
            memory.clear_entries(&prefixes).unwrap();
            rocksdb.clear_entries(&prefixes).unwrap();
            for (i, prefix) in prefixes.iter().enumerate() {
                assert_eq!(rocksdb.last_entry(prefixes.hash(i), prefix).unwrap(), None);
            }
        }
        self.compare_entries();
    }

    /// Rounds of sweeps.
    fn sweep(&mut self, age: i64) {
        let until = Some(Timestamp(self.now - age));
        let expired = Expired { values: vec![None, until], entries: vec![None, None, until, until, until] };
        for (_, memory, rocksdb) in &mut self.slots {
            for _ in 0..20 {
                memory.sweep(&expired).unwrap();
                rocksdb.sweep(&expired).unwrap();
            }
            assert_eq!(memory.live_keys(), rocksdb.live_keys());
        }
        self.compare_entries();
        for (group, address, value) in self.slots.iter_mut().flat_map(|(groups, memory, _)| all_entries(groups, memory))
        {
            assert!(!expired.entry(entries::state_of(&address), &value), "{group}: {address:?}");
        }
    }

    fn compare_entries(&mut self) {
        for (groups, memory, rocksdb) in &mut self.slots {
            let found = all_entries(groups, memory);
            assert_eq!(found, all_entries(groups, rocksdb));
            let Some((group, address, _)) = found.get(found.len() / 2) else { continue };
            // Half of a group, from an entry or behind it, and the last of a state.
            let bounds = [Bound::Included(&address[..]), Bound::Excluded(&address[..])];
            for bound in bounds {
                for range in [(bound, Bound::Unbounded), (Bound::Unbounded, bound)] {
                    assert_eq!(scan(memory, *group, range), scan(rocksdb, *group, range));
                }
            }
            let hash = hash_in(*group);
            let last = memory.last_entry(hash, &address[..2]).unwrap();
            assert!(last.is_some());
            assert_eq!(last, rocksdb.last_entry(hash, &address[..2]).unwrap());
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

    fn restore(&mut self, of_memory: &Kept, of_rocksdb: &Kept, former: &mut [FormerState]) {
        for (groups, memory, rocksdb) in &mut self.slots {
            memory.restore(&mut Seen { kept: of_memory, groups: groups.clone() }, former).unwrap();
            rocksdb.restore(&mut Seen { kept: of_rocksdb, groups: groups.clone() }, former).unwrap();
        }
    }
}

fn stamped(time: i64, value: &[u8]) -> Vec<u8> {
    [&time.to_le_bytes()[..], value].concat()
}

/// Those of the keys that are of these groups.
fn owned(groups: &Range<u16>, numbers: &[u16]) -> Keys {
    let all = keys_of(numbers.iter().copied());
    let mut keys = Keys::default();
    for (i, key) in all.iter().enumerate().filter(|(i, _)| groups.contains(&all.hash(*i).group(GROUPS).0)) {
        keys.push(key, all.hash(i));
    }
    keys
}

fn hash_in(group: u16) -> KeyHash {
    let keys = keys_of(0..300);
    *keys.hashes().iter().find(|hash| hash.group(GROUPS).0 == group).unwrap()
}

fn scan(state: &mut dyn KeyedState, group: u16, range: AddressRange<'_>) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut visit = |address: &[u8], value: &[u8]| {
        found.push((group, address.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    state.scan_entries(hash_in(group), range, &mut visit).unwrap();
    found
}

fn all_entries(groups: &Range<u16>, state: &mut dyn KeyedState) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    groups.clone().flat_map(|group| scan(state, group, (Bound::Unbounded, Bound::Unbounded))).collect()
}

fn same() -> Vec<FormerState> {
    STATES.into_iter().enumerate().map(|(i, layout)| FormerState::unchanged(layout, Some(i))).collect()
}

fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let rocksdb = tiny(folder.path());
    let mut is_native = true;
    let mut pair = Pair::new(&rocksdb, 1, is_native);
    for (step, checkpoint) in steps.into_iter().zip(1..) {
        match step {
            Step::Batch(keys, number, text) => pair.batch(&keys, number, text.as_deref()),
            Step::Put { keys, state, places, value } => pair.put(&keys, state, places, value.as_deref()),
            Step::Clear(keys, state) => pair.clear(&keys, state),
            Step::Sweep(age) => pair.sweep(age),
            Step::Checkpoint => drop(pair.snapshot(checkpoint)),
            Step::Restore { parallelism, is_native: next, crosses } => {
                let (of_memory, of_rocksdb) = pair.snapshot(checkpoint);
                let now = pair.now;
                drop(pair);
                pair = Pair { now, ..Pair::new(&rocksdb, parallelism, next) };
                match crosses && !is_native {
                    true => pair.restore(&of_rocksdb, &of_memory, &mut same()),
                    false => pair.restore(&of_memory, &of_rocksdb, &mut same()),
                }
                is_native = next;
                pair.compare_entries();
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
    for (state, places) in [(0, 0..2), (1, 2..4), (2, 4..6)] {
        pair.put(&[1, 2, 3], state, places, Some(b"entry"));
    }
    let (of_memory, of_rocksdb) = pair.snapshot(1);
    drop(pair);
    let mut pair = Pair::new(&rocksdb, 2, true);
    // What was a number is gone, and the two states of entries have changed places.
    let mut former = same();
    former[0].number = None;
    (former[3].number, former[4].number) = (Some(4), Some(3));
    pair.restore(&of_memory, &of_rocksdb, &mut former);
    pair.compare_entries();
    let found = pair.slots.iter_mut().flat_map(|(groups, _, rocksdb)| all_entries(groups, rocksdb));
    let places: BTreeSet<_> =
        found.map(|(_, address, _)| (entries::state_of(&address), *address.last().unwrap())).collect();
    assert_eq!(places, BTreeSet::from([(1, 0), (1, 1), (4, 2), (4, 3), (3, 4), (3, 5)]));
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
            states[1].push(Some(&[0; 100]));
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
    let restored = state.restore(&mut Seen { kept: &kept, groups: 0..GROUPS }, &mut same());
    let read = restored.and_then(|()| state.load(&keys_of(0..300), &mut columns(&WIDTHS)));
    let fault = read.unwrap_err();
    let name = path.file_name().unwrap().to_string_lossy();
    assert_eq!(fault.kind, FaultKind::Unrestorable);
    assert!(fault.message.contains("damaged") && fault.message.contains(&*name), "{fault}");
}
