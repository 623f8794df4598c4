//! The memory backend: a table for each key group, so that groups can be snapshot, moved and dropped on their own.

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::value::Values;

use super::entries::EntryGroups;
use super::expiry::Expired;
use super::row::{self, Row, RowLayout};
use super::snapshot::{self, ChunkId, ChunkSink, ChunkSource, Content, Frozen};
use super::table::{self, NEAR_KEYS, Position, Table};
use super::{AddressRange, FormerState, KeyedState, StateLayout, Visit};

mod sweep;

pub struct MemoryState {
    max_parallelism: u16,
    groups: Vec<Table<Row>>,
    entries: EntryGroups,
    layout: RowLayout,
    sweep: sweep::Cursor,
    /// Where the keys of the last `load` are.
    positions: Vec<Option<Position>>,
    guesses: Vec<Option<Position>>,
}

impl MemoryState {
    pub fn new(max_parallelism: u16, states: impl IntoIterator<Item = StateLayout>) -> Self {
        Self {
            max_parallelism,
            groups: (0..max_parallelism).map(|_| Table::default()).collect(),
            entries: EntryGroups::new(max_parallelism),
            layout: RowLayout::new(states),
            sweep: sweep::Cursor::default(),
            positions: Vec::new(),
            guesses: Vec::new(),
        }
    }

    fn table(&self, hash: KeyHash) -> &Table<Row> {
        &self.groups[hash.group(self.max_parallelism).0 as usize]
    }
}

impl KeyedState for MemoryState {
    fn load(&mut self, keys: &Keys, states: &mut [Values]) -> Result<(), Fault> {
        self.positions.clear();
        let mut guesses = std::mem::take(&mut self.guesses);
        for i in 0..keys.len() {
            if i % NEAR_KEYS == 0 {
                let hashes = &keys.hashes()[i..keys.len().min(i + NEAR_KEYS)];
                table::bring_near(|hash| self.table(hash), hashes, &mut guesses);
            }
            let table = &self.groups[keys.hash(i).group(self.max_parallelism).0 as usize];
            let position = table.find(keys.get(i), keys.hash(i));
            self.positions.push(position);
            match position {
                None => states.iter_mut().for_each(|values| values.push(None)),
                Some(position) => self.layout.decode(table.get(position), states),
            }
        }
        self.guesses = guesses;
        Ok(())
    }

    fn store(&mut self, keys: &Keys, states: &[Values]) -> Result<(), Fault> {
        debug_assert_eq!(keys.len(), self.positions.len());
        for i in 0..keys.len() {
            if i % NEAR_KEYS == 0 {
                let near = i..keys.len().min(i + NEAR_KEYS);
                let places = keys.hashes()[near.clone()].iter().zip(&self.positions[near]);
                table::bring_entries_near(places.filter_map(|(hash, place)| Some((self.table(*hash), (*place)?))));
            }
            let table = &mut self.groups[keys.hash(i).group(self.max_parallelism).0 as usize];
            match (self.positions[i], row::has_values(states, i)) {
                (Some(position), true) => {
                    if !self.layout.is_row(states, i, table.get(position)) {
                        self.layout.encode(states, i, table.get_mut(position));
                    }
                }
                (Some(position), false) => {
                    table.remove(keys.hash(i), position);
                    self.positions[i] = None;
                }
                (None, true) => {
                    let mut row = Row::new();
                    self.layout.encode(states, i, &mut row);
                    self.positions[i] = Some(table.insert(keys.get(i), keys.hash(i), row));
                }
                (None, false) => {}
            }
        }
        Ok(())
    }

    fn get_entries(&mut self, addresses: &Keys, values: &mut Values) -> Result<(), Fault> {
        self.entries.get(addresses, values);
        Ok(())
    }

    fn put_entries(&mut self, addresses: &Keys, values: &Values) -> Result<(), Fault> {
        self.entries.put(addresses, values);
        Ok(())
    }

    fn clear_entries(&mut self, prefixes: &Keys) -> Result<(), Fault> {
        self.entries.clear(prefixes);
        Ok(())
    }

    fn scan_entries(&mut self, hash: KeyHash, range: AddressRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.entries.scan(hash, range, visit);
        Ok(())
    }

    fn last_entry(&mut self, hash: KeyHash, prefix: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.entries.last(hash, prefix))
    }

    fn sweep(&mut self, expired: &Expired) -> Result<(), Fault> {
        self.sweep_step(expired);
        Ok(())
    }

    fn live_keys(&self) -> usize {
        self.groups.iter().map(Table::len).sum()
    }

    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault> {
        let groups = self.groups.iter_mut().zip(0..).map(|(table, group)| (KeyGroup(group), table.snapshot(barrier)));
        let rows = FrozenRows { groups: groups.filter(|(_, snapshot)| !snapshot.is_empty()).collect() };
        Ok(Box::new(FrozenState { rows, entries: self.entries.snapshot(barrier) }))
    }

    fn restore(&mut self, chunks: &mut dyn ChunkSource, former: &mut [FormerState]) -> Result<(), Fault> {
        snapshot::refuse_native(chunks)?;
        self.entries.restore(chunks, former)?;
        let transposition = self.layout.transposition(former);
        chunks.read(Content::Rows, &mut |id, payload| {
            for entry in snapshot::entries(payload) {
                let (key, row) = entry?;
                let row = transposition.apply(row, former)?;
                if !row.is_empty() {
                    self.groups[id.group.0 as usize].insert(key, KeyHash::of(key), row);
                }
            }
            Ok(())
        })
    }
}

/// Rows and entries.
struct FrozenState {
    rows: FrozenRows,
    entries: Box<dyn Frozen>,
}

impl Frozen for FrozenState {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        Box::new(self.rows).write(chunks)?;
        self.entries.write(chunks)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Keys {
        let mut keys = Keys::default();
        names.iter().for_each(|name| keys.push(name.as_bytes(), KeyHash::of(name.as_bytes())));
        keys
    }

    fn value(width: Option<usize>) -> StateLayout {
        StateLayout::Value { width, expires: false }
    }

    fn load(state: &mut MemoryState, keys: &Keys) -> Vec<Values> {
        let mut states = state.layout.columns();
        state.load(keys, &mut states).unwrap();
        states
    }

    #[test]
    fn values_come_back_and_keys_without_values_are_forgotten() {
        let mut state = MemoryState::new(128, vec![value(Some(8)), value(None)]);
        let ab = keys(&["a", "b"]);
        let mut states = load(&mut state, &ab);
        assert_eq!((states[0].get(0), states[1].get(1)), (None, None));
        states.iter_mut().for_each(Values::clear);
        states[0].push(Some(&7u64.to_le_bytes()));
        states[0].push(None);
        states[1].push(Some(b"long text that does not stand in the entry"));
        states[1].push(Some(b""));
        state.store(&ab, &states).unwrap();
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
        state.store(&ba, &states).unwrap();
        assert_eq!(state.live_keys(), 0);
    }
}
