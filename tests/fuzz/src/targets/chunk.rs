use wasmill::dataplane::call_times::expired;
use wasmill::dataplane::keyed::layout;
use wasmill::dataplane::overlay::Overlay;
use wasmill::model::fault::Fault;
use wasmill::model::key::Keys;
use wasmill::model::key_group::{KeyGroup, KeyHash};
use wasmill::model::time::{Micros, Timestamp};
use wasmill::model::value::Values;
use wasmill::plan::descriptor::{Clock, StateInfo, StateKind, TimeToLive};
use wasmill::plan::graph::PluginLimits;
use wasmill::state::memory::MemoryState;
use wasmill::state::snapshot::{ChunkId, ChunkSource, Content, Take, entries, put_entry};
use wasmill::state::timers::Timers;
use wasmill::state::{FormerState, KeyedState, StateLayout};

use crate::Target;

/// A chunk of state in a checkpoint: a number (of its content, and of the states that it was written for), then its
/// payload. What is taken over can be used.
pub const CHUNK: Target =
    Target { name: "chunk", run, seeds, tokens: &["\0", "\u{1}", "\u{2}\0\0\0", "\u{7f}"], cases: 20_000 };

const GROUPS: u16 = 4;

/// An encoded key: the text `a`.
const KEY: &[u8] = b"\x01a\0";

fn seeds() -> Vec<Vec<u8>> {
    let mut rows = vec![0];
    put_entry(&mut rows, b"a", &[1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, b'x', b'y']);
    put_entry(&mut rows, b"b", &[0, 1, 0, 0, 0, 0]);
    let mut timers = vec![1];
    put_entry(&mut timers, b"a", &[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let other: Vec<u8> = [&[2], &rows[1..]].concat();
    let mut entries = vec![3];
    let time_and_value = [0, 0, 0, 0, 0, 0, 0, 0, 7];
    put_entry(&mut entries, &[&[0, 0][..], KEY, &[1, b'k', 0]].concat(), &time_and_value);
    put_entry(&mut entries, &[&[0, 1][..], KEY, &[1, 0, 0, 0, 0, 0, 0, 0, 5]].concat(), &time_and_value);
    vec![rows, timers, other, entries]
}

/// A checkpoint of one chunk.
struct Chunk<'a>(Content, &'a [u8]);

impl ChunkSource for Chunk<'_> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        if content != self.0 {
            return Ok(());
        }
        take(ChunkId { group: KeyGroup(0), content, number: 0 }, self.1)
    }
}

fn run(bytes: &[u8]) {
    let Some((number, payload)) = bytes.split_first() else { return };
    let former = |width, number| FormerState::unchanged(StateLayout::Value { width, expires: false }, number);
    let same = |width, number| former(width, Some(number));
    match number % 4 {
        0 => check_rows(payload, &mut [same(Some(8), 0), same(None, 1)]),
        1 => check_timers(payload),
        3 => check_entries(payload),
        // One state has gone, and the other has another number.
        _ => check_rows(payload, &mut [former(Some(8), None), same(None, 1)]),
    }
}

fn check_rows(payload: &[u8], former: &mut [FormerState]) {
    let widths = [Some(8), None];
    let layouts = widths.map(|width| StateLayout::Value { width, expires: false });
    let mut state = MemoryState::new(GROUPS, layouts);
    if state.restore(&mut Chunk(Content::Rows, payload), former).is_err() {
        return;
    }
    let mut keys = Keys::default();
    for (key, _) in entries(payload).map(|entry| entry.expect("the chunk was taken over")) {
        keys.push(key, KeyHash::of(key));
    }
    let mut states = widths.map(Values::new);
    state.load(&keys, &mut states).expect("memory has what it has");
    assert!(states.iter().all(|values| values.len() == keys.len()));
}

/// A map with keys of text and a list, of values that expire.
fn check_entries(payload: &[u8]) {
    let time_to_live = TimeToLive { length: Micros(10), clock: Clock::ProcessingTime, refreshed_by_reads: true };
    let info = |name: &str, kind| StateInfo {
        name: name.to_owned(),
        kind,
        key: (kind == StateKind::Map).then(|| super::field("key", "text")),
        value: super::field("value", "u8"),
        defaults: vec![0],
        version: 0,
        time_to_live: Some(time_to_live),
    };
    let states = [info("map", StateKind::Map), info("list", StateKind::List)];
    // One group, so that every key is in the group of the chunk.
    let mut state = MemoryState::new(1, states.iter().map(layout));
    let former = |number| FormerState::unchanged(layout(&states[number]), Some(number));
    if state.restore(&mut Chunk(Content::Entries, payload), &mut [former(0), former(1)]).is_err() {
        return;
    }
    let mut overlay = Overlay::new(&states, Box::new(state), PluginLimits::default());
    overlay.times.start(Timestamp::MIN, Timestamp(5));
    let mut keys = Keys::default();
    keys.push(KEY, KeyHash::of(KEY));
    overlay.start(&keys);
    // What is not in order is a fault, and the call is told.
    for state in [0, 1] {
        let page = overlay.scan(state, &[0], None, None, u32::MAX);
        assert_eq!(page.is_err(), overlay.take_fault().is_some());
    }
    let mut one = Values::new(Some(1));
    one.push(Some(&[1]));
    let appended = overlay.append(1, &[0], &one);
    assert_eq!(appended.is_err_and(|why| !why.contains("too many")), overlay.take_fault().is_some());
    overlay.apply().expect("memory takes all");
    overlay.backend().sweep(&expired(&states, Clock::ProcessingTime, Timestamp(20))).expect("memory has what it has");
}

fn check_timers(payload: &[u8]) {
    let mut timers = Timers::new(Content::EventTimers, GROUPS);
    if timers.restore(&mut Chunk(Content::EventTimers, payload), &[Some(1), None, Some(0)], None).is_err() {
        return;
    }
    let due = timers.take_due(Timestamp::MAX, usize::MAX, None).expect("memory has what it has");
    assert!(due.is_sorted_by_key(|due| due.at));
}
