use wasmill::model::fault::Fault;
use wasmill::model::key::Keys;
use wasmill::model::key_group::{KeyGroup, KeyHash};
use wasmill::model::time::Timestamp;
use wasmill::model::value::Values;
use wasmill::state::memory::MemoryState;
use wasmill::state::snapshot::{ChunkId, ChunkSource, Content, Take, entries, put_entry};
use wasmill::state::timers::Timers;
use wasmill::state::{FormerState, KeyedState};

use crate::Target;

/// A chunk of state in a checkpoint: a number (of its content, and of the states that it was written for), then its
/// payload. What is taken over can be used.
pub const CHUNK: Target =
    Target { name: "chunk", run, seeds, tokens: &["\0", "\u{1}", "\u{2}\0\0\0", "\u{7f}"], cases: 20_000 };

const GROUPS: u16 = 4;

fn seeds() -> Vec<Vec<u8>> {
    let mut rows = vec![0];
    put_entry(&mut rows, b"a", &[1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, b'x', b'y']);
    put_entry(&mut rows, b"b", &[0, 1, 0, 0, 0, 0]);
    let mut timers = vec![1];
    put_entry(&mut timers, b"a", &[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let other: Vec<u8> = [&[2], &rows[1..]].concat();
    vec![rows, timers, other]
}

/// A checkpoint of one chunk.
struct Chunk<'a>(&'a [u8]);

impl ChunkSource for Chunk<'_> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        take(ChunkId { group: KeyGroup(0), content, number: 0 }, self.0)
    }
}

fn run(bytes: &[u8]) {
    let Some((number, payload)) = bytes.split_first() else { return };
    let same = |width, number| FormerState { width, number: Some(number) };
    match number % 3 {
        0 => check_rows(payload, &[same(Some(8), 0), same(None, 1)]),
        1 => check_timers(payload),
        // One state has gone, and the other has another number.
        _ => check_rows(payload, &[FormerState { width: Some(8), number: None }, same(None, 1)]),
    }
}

fn check_rows(payload: &[u8], former: &[FormerState]) {
    let widths = [Some(8), None];
    let mut state = MemoryState::new(GROUPS, widths.to_vec());
    if state.restore(&mut Chunk(payload), former).is_err() {
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

fn check_timers(payload: &[u8]) {
    let mut timers = Timers::new(Content::EventTimers, GROUPS);
    if timers.restore(&mut Chunk(payload), &[Some(1), None, Some(0)]).is_err() {
        return;
    }
    let due = timers.take_due(Timestamp::MAX, usize::MAX);
    assert!(due.is_sorted_by_key(|due| due.at));
}
