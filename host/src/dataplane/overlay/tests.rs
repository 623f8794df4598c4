use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Int64Array, UInt64Array};
use proptest::prelude::*;

use super::*;
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::key_group::KeyHash;
use crate::model::time::{Micros, Timestamp};
use crate::plan::descriptor::{Clock, TimeToLive};
use crate::state::broadcast::COPY_GROUP;
use crate::state::memory::MemoryState;
use crate::state::snapshot::Content;
use crate::state::snapshot::testing::Chunks;
use crate::state::{FormerState, StateLayout};

fn layouts() -> impl Iterator<Item = StateLayout> {
    states(None).iter().map(crate::dataplane::keyed::layout).collect::<Vec<_>>().into_iter()
}

fn states(time_to_live: Option<TimeToLive>) -> Vec<StateInfo> {
    let info = |name: &str, kind| StateInfo {
        name: name.to_owned(),
        kind,
        key: (kind == StateKind::Map).then(|| Field::new("key", DataType::I64)),
        value: Field::new("value", DataType::Bytes),
        defaults: Vec::new(),
        version: 0,
        time_to_live,
    };
    vec![info("value", StateKind::Value), info("map", StateKind::Map), info("list", StateKind::List)]
}

fn backend() -> Box<MemoryState> {
    Box::new(MemoryState::new(4, layouts()))
}

/// A call for three keys.
fn start(overlay: &mut Overlay) {
    let mut keys = Keys::default();
    [&b"\x01a\0"[..], b"\x01b\0", b"\x01ab\0"].iter().for_each(|key| keys.push(key, KeyHash::of(key)));
    overlay.start(&keys);
}

const MAP: u32 = 1;
const LIST: u32 = 2;

fn number(key: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![key]))
}

fn values<'v>(all: impl IntoIterator<Item = Option<&'v [u8]>>) -> Values {
    let mut values = Values::new(None);
    all.into_iter().for_each(|value| values.push(value));
    values
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    map: BTreeMap<i64, Vec<u8>>,
    list: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, i64, Option<Vec<u8>>),
    Append(u32, Vec<u8>),
    Clear(u32, bool),
    Get(i64),
    Scan(i64, i64, bool),
    /// The call returns, or fails.
    End(bool),
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (group, key) = (0u32..3, || -20i64..20);
    let value = || prop::collection::vec(any::<u8>(), 0..30);
    let step = prop_oneof![
        6 => (group.clone(), key(), prop::option::weighted(0.8, value())).prop_map(|(g, k, v)| Step::Put(g, k, v)),
        4 => (group.clone(), value()).prop_map(|(group, value)| Step::Append(group, value)),
        1 => (group, any::<bool>()).prop_map(|(group, is_map)| Step::Clear(group, is_map)),
        3 => key().prop_map(Step::Get),
        3 => (key(), key(), any::<bool>()).prop_map(|(from, to, inclusive)| Step::Scan(from, to, inclusive)),
        3 => prop::bool::weighted(0.7).prop_map(Step::End),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 0..120)
}

type Entries = Vec<(i64, Vec<u8>)>;

/// All entries of ranges, page by page, by group.
fn scan_all(
    overlay: &mut Overlay,
    state: u32,
    from: Option<(ArrayRef, bool)>,
    to: Option<(ArrayRef, bool)>,
) -> [Entries; 3] {
    let mut all: [Entries; 3] = Default::default();
    for (group, found) in all.iter_mut().enumerate() {
        let mut start = from.clone();
        loop {
            let ends = |end: &Option<(ArrayRef, bool)>| end.clone().map(|(keys, inclusive)| Ends { keys, inclusive });
            let page = overlay.scan(state, &[group as u32], ends(&start), ends(&to), 3).unwrap();
            let keys: Vec<i64> = match state {
                MAP => page.keys.as_primitive::<Int64Type>().values().to_vec(),
                _ => page.keys.as_primitive::<UInt64Type>().values().iter().map(|number| *number as i64).collect(),
            };
            assert_eq!(keys.len(), page.counts[0] as usize);
            found.extend(keys.iter().enumerate().map(|(row, key)| (*key, page.values.get(row).unwrap().to_vec())));
            match keys.last() {
                Some(last) if page.more[0] => {
                    let last: ArrayRef = match state {
                        MAP => number(*last),
                        _ => Arc::new(UInt64Array::from(vec![*last as u64])),
                    };
                    start = Some((last, false));
                }
                _ => break,
            }
        }
    }
    all
}

fn contents(overlay: &mut Overlay) -> Vec<Model> {
    let maps = scan_all(overlay, MAP, None, None);
    let lists = scan_all(overlay, LIST, None, None);
    let model = |(map, list): (Entries, Entries)| Model {
        map: map.into_iter().collect(),
        list: list.into_iter().map(|(_, value)| value).collect(),
    };
    maps.into_iter().zip(lists).map(model).collect()
}

/// Lays a snapshot over those before, and makes another backend of them.
fn restored(overlay: &mut Overlay, chunks: &mut Chunks, checkpoint: u64) -> Box<MemoryState> {
    let base = (checkpoint > 1).then(|| CheckpointId(checkpoint - 1));
    let barrier = Barrier { checkpoint: CheckpointId(checkpoint), base, overtakes_at: None, stops: false };
    overlay.backend().snapshot(&barrier).unwrap().write(chunks).unwrap();
    let mut other = backend();
    let former = layouts().zip(0..).map(|(layout, number)| FormerState::unchanged(layout, Some(number)));
    other.restore(chunks, &mut former.collect::<Vec<_>>()).unwrap();
    other
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn calls_see_their_writes_and_those_of_calls_that_returned(steps in steps(), bytes_max in 1usize..200) {
        let limits = PluginLimits { state_read_bytes_max: bytes_max, ..PluginLimits::default() };
        let mut overlay = Overlay::new(&states(None), backend(), limits);
        let mut chunks = Chunks::default();
        let mut checkpoint = 0;
        start(&mut overlay);
        let mut kept = vec![Model::default(); 3];
        let mut now = kept.clone();
        for step in steps {
            match step {
                Step::Put(group, key, value) => {
                    overlay.put(MAP, &[group], &number(key), &values([value.as_deref()])).unwrap();
                    let map = &mut now[group as usize].map;
                    match value {
                        Some(value) => drop(map.insert(key, value)),
                        None => drop(map.remove(&key)),
                    }
                }
                Step::Append(group, value) => {
                    overlay.append(LIST, &[group, group], &values([Some(&*value), Some(b"next")])).unwrap();
                    now[group as usize].list.extend([value, b"next".to_vec()]);
                }
                Step::Clear(group, true) => {
                    overlay.clear(MAP, &[group]).unwrap();
                    now[group as usize].map.clear();
                }
                Step::Clear(group, false) => {
                    overlay.clear(LIST, &[group]).unwrap();
                    now[group as usize].list.clear();
                }
                Step::Get(key) => {
                    let keys: ArrayRef = Arc::new(Int64Array::from(vec![key, key, key]));
                    let found = overlay.get(MAP, &[2, 0, 1], &keys).unwrap();
                    prop_assert!(!found.is_empty());
                    for (row, group) in [2, 0, 1].into_iter().enumerate().take(found.len()) {
                        prop_assert_eq!(found.get(row), now[group].map.get(&key).map(Vec::as_slice));
                    }
                }
                Step::Scan(from, to, inclusive) => {
                    let found = scan_all(&mut overlay, MAP, Some((number(from), inclusive)), Some((number(to), inclusive)));
                    let inside = |key: &i64| if inclusive { (from..=to).contains(key) } else { from < *key && *key < to };
                    for (found, model) in found.into_iter().zip(&now) {
                        let expected = model.map.iter().filter(|(key, _)| inside(key));
                        prop_assert!(found.into_iter().eq(expected.map(|(key, value)| (*key, value.clone()))));
                    }
                }
                Step::End(returns) => {
                    if returns {
                        overlay.apply().unwrap();
                        kept.clone_from(&now);
                    }
                    now.clone_from(&kept);
                    start(&mut overlay);
                }
                Step::Restore => {
                    checkpoint += 1;
                    let mut other = Overlay::new(&states(None), restored(&mut overlay, &mut chunks, checkpoint), limits);
                    start(&mut other);
                    prop_assert_eq!(&contents(&mut other), &kept);
                }
            }
            prop_assert_eq!(&contents(&mut overlay), &now);
        }
    }
}

#[test]
fn entries_expire_one_by_one() {
    let time_to_live = TimeToLive { length: Micros(10), clock: Clock::ProcessingTime, refreshed_by_reads: false };
    for refreshed_by_reads in [false, true] {
        let states = states(Some(TimeToLive { refreshed_by_reads, ..time_to_live }));
        let mut overlay = Overlay::new(&states, backend(), PluginLimits::default());
        let mut at = |now: i64, put: Option<i64>| {
            overlay.times.start(Timestamp::MIN, Timestamp(now));
            start(&mut overlay);
            if let Some(key) = put {
                overlay.put(MAP, &[0], &number(key), &values([Some(&b"v"[..])])).unwrap();
                overlay.append(LIST, &[0], &values([Some(&b"v"[..])])).unwrap();
            }
            let found = contents(&mut overlay).remove(0);
            overlay.apply().unwrap();
            (found.map.into_keys().collect::<Vec<_>>(), found.list.len())
        };
        at(0, Some(1));
        assert_eq!(at(5, Some(2)), (vec![1, 2], 2));
        assert_eq!(at(10, None), if refreshed_by_reads { (vec![1, 2], 2) } else { (vec![2], 1) });
        assert_eq!(at(15, None), if refreshed_by_reads { (vec![1, 2], 2) } else { (vec![], 0) });
        assert_eq!(at(25, None), (vec![], 0));
        let mut left = 0;
        let expired = crate::dataplane::call_times::expired(&states, Clock::ProcessingTime, Timestamp(25));
        overlay.backend().sweep(&expired).unwrap();
        for group in [KeyHash(0), KeyHash(1 << 62), KeyHash(1 << 63), KeyHash(3 << 62)] {
            let mut count = |_: &[u8], _: &[u8]| {
                left += 1;
                ControlFlow::Continue(())
            };
            overlay.backend().scan_entries(group, (Bound::Unbounded, Bound::Unbounded), &mut count).unwrap();
        }
        assert_eq!(left, 0);
    }
}

#[test]
fn what_is_not_in_order_is_refused() {
    let limits = PluginLimits { state_write_bytes_max: 100, key_bytes_max: 8, ..PluginLimits::default() };
    let mut overlay = Overlay::new(&states(None), backend(), limits);
    start(&mut overlay);
    let one = values([Some(&b"v"[..])]);
    assert_eq!(overlay.get(9, &[0], &number(1)).unwrap_err(), "it asked for state 9 of 3");
    assert_eq!(overlay.get(0, &[0], &number(1)).unwrap_err(), "state `value` is no list and no map");
    assert_eq!(overlay.get(MAP, &[3], &number(1)).unwrap_err(), "it asked for group 3 of 3");
    assert_eq!(overlay.get(MAP, &[0, 1], &number(1)).unwrap_err(), "1 keys for 2 groups");
    assert_eq!(overlay.append(MAP, &[0], &one).unwrap_err(), "state `map` is a map: nothing can be appended");
    assert!(overlay.put(LIST, &[0], &number(1), &one).unwrap_err().contains("elements are appended"));
    assert_eq!(overlay.append(LIST, &[0], &values([None])).unwrap_err(), "an element of a list has no value");
    assert_eq!(overlay.touch(MAP, &[0]).unwrap_err(), "state `map` has no values to touch");
    assert!(overlay.put(MAP, &[0], &number(1), &one).unwrap_err().contains("key_bytes_max is 8"));
    let written = (0..10).try_for_each(|_| overlay.append(LIST, &[0], &one));
    assert!(written.unwrap_err().contains("state_write_bytes_max: 100"));
    assert!(Overlay::default().clear(0, &[]).unwrap_err().starts_with("state is reached within"));
}

/// The same states, and broadcast state with room for 100 bytes.
fn with_broadcast() -> Overlay {
    let mut states = states(None);
    let map = states[MAP as usize].clone();
    states.push(StateInfo { name: "rules".to_owned(), kind: StateKind::Broadcast, ..map });
    let layouts: Vec<_> = states.iter().map(crate::dataplane::keyed::layout).collect();
    let backend = Box::new(MemoryState::new(4, layouts.clone()));
    let broadcast = BroadcastState::new(layouts, 100, true);
    Overlay::new(&states, backend, PluginLimits::default()).with_broadcast(broadcast)
}

const RULES: u32 = 3;

/// Applies what a call with rows of the broadcast input has put, unless it is too much.
fn put_rules(overlay: &mut Overlay, rules: &[(i64, Option<&[u8]>)]) -> Result<usize, String> {
    overlay.start_broadcast();
    for (key, value) in rules {
        overlay.put(RULES, &[0], &number(*key), &values([*value])).unwrap();
        assert_eq!(overlay.get(RULES, &[0], &number(*key)).unwrap().get(0), *value);
    }
    let bytes = overlay.check_broadcast().unwrap()?;
    overlay.apply().unwrap();
    overlay.broadcast().unwrap().set_bytes(bytes);
    Ok(bytes)
}

#[test]
fn broadcast_state_is_that_of_the_slot_and_written_for_its_own_input_only() {
    let mut overlay = with_broadcast();
    assert_eq!(put_rules(&mut overlay, &[(1, Some(b"one")), (2, Some(b"two"))]), Ok(2 * 14));
    assert_eq!(overlay.get(MAP, &[0], &number(1)).unwrap_err(), "it asked for group 0 of 0");
    start(&mut overlay);
    assert_eq!(
        overlay.get(RULES, &[0, 0], &(Arc::new(Int64Array::from(vec![1, 7])) as _)).unwrap().get(0),
        Some(&b"one"[..])
    );
    assert_eq!(overlay.get(RULES, &[1], &number(1)).unwrap_err(), "it asked for group 1 of 1");
    let page = overlay.scan(RULES, &[0], None, None, 1).unwrap();
    assert_eq!((page.counts, page.more), (vec![1], vec![true]));
    let one = values([Some(&b"v"[..])]);
    let refused = "state `rules` is broadcast state: only calls with rows of the broadcast input write it";
    assert_eq!(overlay.put(RULES, &[0], &number(1), &one).unwrap_err(), refused);
    assert_eq!(overlay.clear(RULES, &[0]).unwrap_err(), refused);
    // What a key has is another state's.
    overlay.put(MAP, &[1], &number(1), &one).unwrap();
    overlay.apply().unwrap();
    start(&mut overlay);
    assert_eq!(overlay.get(RULES, &[0], &number(1)).unwrap().get(0), Some(&b"one"[..]));
    assert_eq!(overlay.get(MAP, &[1], &number(1)).unwrap().get(0), Some(&b"v"[..]));
}

#[test]
fn broadcast_state_has_room_for_so_many_bytes_when_a_call_has_returned() {
    let mut overlay = with_broadcast();
    assert_eq!(put_rules(&mut overlay, &[(1, Some(&[1; 49]))]), Ok(60));
    let error = put_rules(&mut overlay, &[(2, Some(&[2; 40]))]).unwrap_err();
    assert!(error.starts_with("broadcast state would have 111 bytes; broadcast_state_bytes_max"), "{error}");
    // As much as goes may come.
    assert_eq!(put_rules(&mut overlay, &[(1, None), (2, Some(&[2; 80])), (2, Some(&[2; 89]))]), Ok(100));
    overlay.start_broadcast();
    overlay.clear(RULES, &[0]).unwrap();
    overlay.put(RULES, &[0], &number(2), &values([Some(&[3; 9][..])])).unwrap();
    assert_eq!(overlay.check_broadcast().unwrap(), Ok(20));
    overlay.apply().unwrap();
    overlay.broadcast().unwrap().set_bytes(20);
    start(&mut overlay);
    assert_eq!(overlay.get(RULES, &[0], &number(2)).unwrap().get(0), Some(&[3; 9][..]));
}

#[test]
fn one_slot_leaves_a_copy_of_broadcast_state_and_every_slot_starts_from_it() {
    let mut overlay = with_broadcast();
    let mut chunks = Chunks::default();
    let at = |checkpoint, base: Option<u64>| Barrier {
        checkpoint: CheckpointId(checkpoint),
        base: base.map(CheckpointId),
        overtakes_at: None,
        stops: false,
    };
    put_rules(&mut overlay, &[(1, Some(b"one")), (2, Some(b"two"))]).unwrap();
    overlay.broadcast().unwrap().snapshot(&at(1, None)).unwrap().unwrap().write(&mut chunks).unwrap();
    put_rules(&mut overlay, &[(1, None), (3, Some(b"three"))]).unwrap();
    overlay.broadcast().unwrap().snapshot(&at(2, Some(1))).unwrap().unwrap().write(&mut chunks).unwrap();
    assert!(chunks.0.keys().all(|id| id.content == Content::Broadcast && id.group == COPY_GROUP), "{chunks:?}");

    let mut other = with_broadcast();
    let layouts: Vec<_> = layouts().chain([StateLayout::Entries { expires: false }]).collect();
    let mut former: Vec<_> =
        layouts.iter().enumerate().map(|(i, layout)| FormerState::unchanged(*layout, Some(i))).collect();
    other.broadcast().unwrap().restore(&mut chunks, &mut former).unwrap();
    assert_eq!(other.broadcast().unwrap().bytes(), 14 + 16);
    start(&mut other);
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let found = other.get(RULES, &[0, 0, 0], &keys).unwrap();
    assert_eq!([0, 1, 2].map(|row| found.get(row)), [None, Some(&b"two"[..]), Some(&b"three"[..])]);
    let mut silent = BroadcastState::new(layouts, 100, false);
    assert!(silent.snapshot(&at(1, None)).unwrap().is_none());
}
