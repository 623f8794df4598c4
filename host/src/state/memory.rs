//! The memory backend: a table for each key group, so that groups can be snapshot, moved and dropped on their own.

use smallvec::SmallVec;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::value::{Layout, Values};

use super::snapshot::{self, ChunkId, ChunkSink, ChunkSource, Content, Frozen, cut_short};
use super::table::{self, Position, Table};
use super::{FormerState, KeyedState};

/// The values of all states of a key: for each state 0, or 1 and the value, with its length (u32, little-endian)
/// before it unless the state's width is fixed. Short rows stand in their table entry.
type Row = SmallVec<[u8; 24]>;

/// Keys whose entries are brought near at once: no more than the first cache and its table of pages hold.
const NEAR_KEYS: usize = 256;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

pub struct MemoryState {
    max_parallelism: u16,
    groups: Vec<Table<Row>>,
    /// The width of each state's values, where it is fixed.
    widths: Vec<Option<usize>>,
    /// Where the keys of the last `load` are.
    positions: Vec<Option<Position>>,
    guesses: Vec<Option<Position>>,
    row: Row,
}

impl MemoryState {
    pub fn new(max_parallelism: u16, widths: Vec<Option<usize>>) -> Self {
        let groups = (0..max_parallelism).map(|_| Table::default()).collect();
        Self { max_parallelism, groups, widths, positions: Vec::new(), guesses: Vec::new(), row: Row::new() }
    }

    fn table(&self, hash: KeyHash) -> &Table<Row> {
        &self.groups[hash.group(self.max_parallelism).0 as usize]
    }

    /// With many keys an entry is far away: several misses of the cache, each of which waits for the one before. Asked
    /// for step by step, those of many keys are under way at once.
    fn touch(&self, hashes: &[KeyHash], positions: &[Option<Position>]) {
        let places = hashes.iter().zip(positions);
        let touched = places.map(|(hash, place)| place.map_or(0, |position| self.table(*hash).touch(position)));
        std::hint::black_box(touched.fold(0, std::ops::BitXor::bitxor));
    }

    fn encode_row(&mut self, states: &[Values], i: usize) -> bool {
        self.row.clear();
        let mut any = false;
        for (values, width) in states.iter().zip(&self.widths) {
            match values.get(i) {
                None => self.row.push(ABSENT),
                Some(value) => {
                    any = true;
                    self.row.push(PRESENT);
                    if width.is_none() {
                        self.row.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    }
                    self.row.extend_from_slice(value);
                }
            }
        }
        any
    }
}

impl KeyedState for MemoryState {
    fn load(&mut self, keys: &Keys, states: &mut [Values]) {
        self.positions.clear();
        let mut guesses = std::mem::take(&mut self.guesses);
        for i in 0..keys.len() {
            if i % NEAR_KEYS == 0 {
                let hashes = &keys.hashes()[i..keys.len().min(i + NEAR_KEYS)];
                guesses.clear();
                guesses.extend(hashes.iter().map(|hash| self.table(*hash).guess(*hash)));
                self.touch(hashes, &guesses);
            }
            let table = &self.groups[keys.hash(i).group(self.max_parallelism).0 as usize];
            let position = table.find(keys.get(i), keys.hash(i));
            self.positions.push(position);
            match position {
                None => states.iter_mut().for_each(|values| values.push(None)),
                Some(position) => decode_row(table.get(position), &self.widths, states),
            }
        }
        self.guesses = guesses;
    }

    fn store(&mut self, keys: &Keys, states: &[Values]) {
        debug_assert_eq!(keys.len(), self.positions.len());
        for i in 0..keys.len() {
            let any = self.encode_row(states, i);
            let table = &mut self.groups[keys.hash(i).group(self.max_parallelism).0 as usize];
            match (self.positions[i], any) {
                (Some(position), true) => {
                    if *table.get(position) != self.row {
                        table.get_mut(position).clone_from(&self.row);
                    }
                }
                (Some(position), false) => {
                    table.remove(keys.hash(i), position);
                    self.positions[i] = None;
                }
                (None, true) => {
                    self.positions[i] = Some(table.insert(keys.get(i), keys.hash(i), self.row.clone()));
                }
                (None, false) => {}
            }
        }
    }

    fn live_keys(&self) -> usize {
        self.groups.iter().map(Table::len).sum()
    }

    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault> {
        let groups = self.groups.iter_mut().zip(0..).map(|(table, group)| (KeyGroup(group), table.snapshot(barrier)));
        Ok(Box::new(FrozenRows { groups: groups.filter(|(_, snapshot)| !snapshot.is_empty()).collect() }))
    }

    fn restore(&mut self, chunks: &mut dyn ChunkSource, former: &[FormerState]) -> Result<(), Fault> {
        let same = former.len() == self.widths.len()
            && former
                .iter()
                .zip(&self.widths)
                .enumerate()
                .all(|(i, (state, width))| *state == FormerState { width: *width, number: Some(i) });
        let widths: Vec<Option<usize>> = former.iter().map(|state| state.width).collect();
        chunks.read(Content::Rows, &mut |id, payload| {
            for entry in snapshot::entries(payload) {
                let (key, row) = entry?;
                if !is_whole(row, &widths) {
                    return Err(cut_short("a row"));
                }
                let row = if same { Row::from_slice(row) } else { self.transpose(row, former)? };
                if !row.is_empty() {
                    self.groups[id.group.0 as usize].insert(key, KeyHash::of(key), row);
                }
            }
            Ok(())
        })
    }
}

impl MemoryState {
    /// A row of a checkpoint with this operator's states in their order; empty if none of them has a value.
    fn transpose(&mut self, row: &[u8], former: &[FormerState]) -> Result<Row, Fault> {
        let widths: Vec<Option<usize>> = former.iter().map(|state| state.width).collect();
        let mut read: Vec<Values> = widths.iter().map(|width| Values::new(*width)).collect();
        decode_row(row, &widths, &mut read);
        let mut states: Vec<Values> = self.widths.iter().map(|width| Values::new(*width)).collect();
        for (number, values) in states.iter_mut().enumerate() {
            let from = former.iter().position(|state| state.number == Some(number));
            values.push(from.and_then(|from| read[from].get(0)));
        }
        Ok(if self.encode_row(&states, 0) { self.row.clone() } else { Row::new() })
    }
}

struct FrozenRows {
    groups: Vec<(KeyGroup, table::Snapshot<Row>)>,
}

impl Frozen for FrozenRows {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        let mut payload = Vec::new();
        for (group, snapshot) in self.groups {
            for (number, rows) in snapshot.pages() {
                payload.clear();
                let mut count = 0;
                for (key, row) in rows {
                    snapshot::put_entry(&mut payload, key, row);
                    count += 1;
                }
                chunks.put(ChunkId { group, content: Content::Rows, number }, count, &payload)?;
            }
        }
        Ok(())
    }
}

/// Whether `decode_row` can read a row, which may be anything.
fn is_whole(mut row: &[u8], widths: &[Option<usize>]) -> bool {
    let mut value = |width: &Option<usize>| {
        let (tag, mut rest) = row.split_first()?;
        if *tag != ABSENT {
            let length = match width {
                Some(width) => *width,
                None => {
                    let (length, behind) = rest.split_first_chunk::<4>()?;
                    rest = behind;
                    u32::from_le_bytes(*length) as usize
                }
            };
            rest = rest.split_at_checked(length)?.1;
        }
        row = rest;
        Some(())
    };
    widths.iter().all(|width| value(width).is_some()) && row.is_empty()
}

fn decode_row(mut row: &[u8], widths: &[Option<usize>], states: &mut [Values]) {
    for (values, width) in states.iter_mut().zip(widths) {
        let tag = row[0];
        row = &row[1..];
        if tag == ABSENT {
            values.push(None);
            continue;
        }
        let length = match width {
            Some(width) => *width,
            None => {
                let (length, rest) = row.split_first_chunk::<4>().expect("a row is whole");
                row = rest;
                u32::from_le_bytes(*length) as usize
            }
        };
        debug_assert!(width.is_some() || matches!(values.layout, Layout::Variable { .. }));
        let (value, rest) = row.split_at(length);
        values.push(Some(value));
        row = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Keys {
        let mut keys = Keys::default();
        names.iter().for_each(|name| keys.push(name.as_bytes(), KeyHash::of(name.as_bytes())));
        keys
    }

    fn load(state: &mut MemoryState, keys: &Keys) -> Vec<Values> {
        let mut states: Vec<Values> = state.widths.iter().map(|width| Values::new(*width)).collect();
        state.load(keys, &mut states);
        states
    }

    #[test]
    fn values_come_back_and_keys_without_values_are_forgotten() {
        let mut state = MemoryState::new(128, vec![Some(8), None]);
        let ab = keys(&["a", "b"]);
        let mut states = load(&mut state, &ab);
        assert_eq!((states[0].get(0), states[1].get(1)), (None, None));
        states.iter_mut().for_each(Values::clear);
        states[0].push(Some(&7u64.to_le_bytes()));
        states[0].push(None);
        states[1].push(Some(b"long text that does not stand in the entry"));
        states[1].push(Some(b""));
        state.store(&ab, &states);
        assert_eq!(state.live_keys(), 2);

        let ba = keys(&["b", "x", "a"]);
        let mut states = load(&mut state, &ba);
        assert_eq!(states[0].get(2), Some(&7u64.to_le_bytes()[..]));
        assert_eq!(states[1].get(0), Some(&b""[..]));
        assert_eq!((states[0].get(0), states[0].get(1)), (None, None));
        for values in &mut states {
            values.clear();
            (0..3).for_each(|_| values.push(None));
        }
        state.store(&ba, &states);
        assert_eq!(state.live_keys(), 0);
    }
}
