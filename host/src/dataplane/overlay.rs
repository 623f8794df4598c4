//! The lists and maps of a call's keys as its operator sees them: what the backend has, and over it what the call itself
//! has written. Applied when the call has returned and was checked; dropped when it fails.
//!
//! What comes from a guest is checked here, but for its columns: errors are for the operator's author.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};

use crate::model::fault::Fault;
use crate::model::key::{self, Keys};
use crate::model::key_group::KeyHash;
use crate::model::schema::{DataType, Field};
use crate::model::value::Values;
use crate::plan::descriptor::{StateInfo, StateKind};
use crate::plan::graph::PluginLimits;
use crate::state::KeyedState;
use crate::state::broadcast::BroadcastState;
use crate::state::entries::{address, behind, place_of, state_of};
use crate::state::expiry::{STAMP_BYTES, stamp};

use super::call_times::CallTimes;

mod broadcast;
mod page;

use page::Gathered;
pub use page::Page;

/// Addresses and values that are handed to the backend at once, in bytes, about.
const APPLY_BYTES_MAX: usize = 16 << 20;

/// Entries that `get` asks the backend for at once.
const GET_ROWS_MAX: usize = 64;

#[derive(Default)]
pub struct Overlay {
    states: Arc<[StateInfo]>,
    limits: PluginLimits,
    /// `None` = no call runs that may reach state.
    backend: Option<Box<dyn KeyedState>>,
    broadcast: Option<BroadcastState>,
    /// The call is for rows of the broadcast input: it has no keys, and may write broadcast state.
    is_broadcast_call: bool,
    /// The distinct keys of the call.
    keys: Keys,
    pub times: CallTimes,
    /// By address.
    writes: BTreeMap<Vec<u8>, Write>,
    /// Prefixes of addresses of which the backend's entries no longer count, with their groups.
    cleared: BTreeMap<Vec<u8>, u32>,
    write_bytes: usize,
    touched: BTreeSet<(usize, u32)>,
    /// What the backend could not do for the call.
    fault: Option<Fault>,
}

struct Write {
    group: u32,
    value: Option<Vec<u8>>,
}

/// One end of ranges, a key for each group; null = the first or last entry.
pub struct Ends {
    pub keys: ArrayRef,
    pub inclusive: bool,
}

impl Overlay {
    pub fn new(states: &[StateInfo], backend: Box<dyn KeyedState>, limits: PluginLimits) -> Self {
        Self { states: states.into(), limits, backend: Some(backend), ..Self::default() }
    }

    /// # Panics
    /// While it is lent to a call.
    pub fn backend(&mut self) -> &mut dyn KeyedState {
        self.backend_and_times().0
    }

    /// # Panics
    /// While it is lent to a call.
    pub fn backend_and_times(&mut self) -> (&mut dyn KeyedState, &CallTimes) {
        let backend = self.backend.as_mut().expect("the call has given the state back");
        (&mut **backend, &self.times)
    }

    /// What went wrong in the host while the call ran; the call was told that it cannot go on.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Keeps a fault for `take_fault`.
    fn keep_fault<T>(&mut self, result: Result<T, Fault>) -> Result<T, String> {
        result.map_err(|fault| {
            let reason = fault.message.clone();
            self.fault.get_or_insert(fault);
            reason
        })
    }

    /// Whether the operator has state for which the keys of a call are needed.
    fn is_used(&self) -> bool {
        let has_entries = |state: &StateInfo| !state.kind.is_value_like() && state.kind != StateKind::Broadcast;
        self.states.iter().any(|state| has_entries(state) || state.time_to_live.is_some())
    }

    /// Drops what the last call has written and not applied, and turns to the keys of the next.
    pub fn start(&mut self, keys: &Keys) {
        self.forget();
        self.is_broadcast_call = false;
        if self.is_used() {
            self.keys.clone_from(keys);
        }
    }

    fn forget(&mut self) {
        self.writes.clear();
        self.cleared.clear();
        self.touched.clear();
        self.write_bytes = 0;
    }

    fn is_broadcast(&self, state: usize) -> bool {
        self.states[state].kind == StateKind::Broadcast
    }

    /// Of the key that a state's entries of a group belong to.
    fn hash(&self, state: usize, group: u32) -> KeyHash {
        if self.is_broadcast(state) { KeyHash::of(&[]) } else { self.keys.hash(group as usize) }
    }

    /// What holds the entries of a state.
    fn store(&mut self, state: usize) -> &mut dyn KeyedState {
        match self.states[state].kind {
            StateKind::Broadcast => self.broadcast.as_mut().expect("there is broadcast state").maps(),
            _ => self.backend(),
        }
    }

    /// Value-like states, by number, and groups that count as written.
    pub fn touched(&self) -> Vec<(usize, u32)> {
        self.touched.iter().copied().collect()
    }

    /// Hands what the call has written to the backend.
    pub fn apply(&mut self) -> Result<(), Fault> {
        let writes = std::mem::take(&mut self.writes);
        let cleared = std::mem::take(&mut self.cleared);
        if !cleared.is_empty() {
            let mut prefixes = Keys::default();
            cleared.iter().for_each(|(prefix, group)| prefixes.push(prefix, self.hash(state_of(prefix), *group)));
            self.applied_to().clear_entries(&prefixes)?;
        }
        let (mut addresses, mut values, mut stored) = (Keys::default(), Values::new(None), Vec::new());
        for (address, Write { group, value }) in writes {
            let state = state_of(&address);
            addresses.push(&address, self.hash(state, group));
            stored.clear();
            if let Some(time_to_live) = self.states[state].time_to_live {
                let written = self.times.written(time_to_live.clock, group as usize);
                stored.extend_from_slice(&written.0.to_le_bytes());
            }
            stored.extend_from_slice(value.as_deref().unwrap_or_default());
            values.push(value.as_ref().map(|_| &*stored));
            if addresses.bytes() + values.data_bytes() > APPLY_BYTES_MAX {
                self.applied_to().put_entries(&addresses, &values)?;
                addresses.clear();
                values.clear();
            }
        }
        if addresses.is_empty() { Ok(()) } else { self.applied_to().put_entries(&addresses, &values) }
    }

    /// A call writes either to broadcast state or to that of its keys.
    fn applied_to(&mut self) -> &mut dyn KeyedState {
        match self.is_broadcast_call {
            true => self.broadcast.as_mut().expect("there is broadcast state").maps(),
            false => self.backend(),
        }
    }

    /// The type of an entry's key: of a list, the number of the element. An error if the state has no entries.
    pub fn key_field(&self, state: u32) -> Result<Field, String> {
        let info = self.entries_of(state)?;
        Ok(info.key.clone().unwrap_or_else(|| Field::new("number", DataType::U64)))
    }

    /// The width of an entry's values.
    pub fn width(&self, state: u32) -> Result<Option<usize>, String> {
        self.entries_of(state).map(StateInfo::width)
    }

    fn entries_of(&self, state: u32) -> Result<&StateInfo, String> {
        let info = self.info(state)?;
        if info.kind.is_value_like() {
            return Err(format!("state `{}` is no list and no map", info.name));
        }
        Ok(info)
    }

    fn info(&self, state: u32) -> Result<&StateInfo, String> {
        if self.backend.is_none() {
            return Err(
                "state is reached within `on-batch` and `on-timers`, and by operators that have some".to_owned()
            );
        }
        self.states.get(state as usize).ok_or_else(|| format!("it asked for state {state} of {}", self.states.len()))
    }

    /// Broadcast state is that of the slot: one group, whatever keys the call has.
    fn check_groups(&self, state: u32, groups: &[u32], rows: usize, of: &str) -> Result<(), String> {
        if groups.len() != rows {
            return Err(format!("{rows} {of} for {} groups", groups.len()));
        }
        let count = if self.is_broadcast(state as usize) { 1 } else { self.keys.len() };
        match groups.iter().find(|group| **group as usize >= count) {
            Some(group) => Err(format!("it asked for group {group} of {count}")),
            None => Ok(()),
        }
    }

    fn check_writable(&self, info: &StateInfo) -> Result<(), String> {
        match info.kind {
            StateKind::Broadcast if !self.is_broadcast_call => Err(format!(
                "state `{}` is broadcast state: only calls with rows of the broadcast input write it",
                info.name
            )),
            _ => Ok(()),
        }
    }

    fn prefix(&self, state: u32, group: u32) -> Vec<u8> {
        let mut prefix = Vec::new();
        let key = if self.is_broadcast(state as usize) { &[] } else { self.keys.get(group as usize) };
        address(state as usize, key, &[], &mut prefix);
        prefix
    }

    /// The values of the first keys: as many as the limit allows, at least one.
    pub fn get(&mut self, state: u32, groups: &[u32], keys: &ArrayRef) -> Result<Values, String> {
        let info = self.entries_of(state)?;
        let (width, by_reads) = (info.width(), info.time_to_live.is_some_and(|it| it.refreshed_by_reads));
        self.check_groups(state, groups, keys.len(), "keys")?;
        let places = Places::new(keys);
        let mut values = Values::new(width);
        for start in (0..groups.len()).step_by(GET_ROWS_MAX) {
            let rows = start..groups.len().min(start + GET_ROWS_MAX);
            for (row, found) in rows.clone().zip(self.lookup(state, &groups[rows], &places, start)?) {
                if row > 0
                    && values.data_bytes() + found.as_ref().map_or(0, Vec::len) > self.limits.state_read_bytes_max
                {
                    return Ok(values);
                }
                values.push(found.as_deref());
                if let Some(value) = found.filter(|_| by_reads) {
                    let mut address = self.prefix(state, groups[row]);
                    address.extend_from_slice(places.get(row));
                    self.write(address, groups[row], Some(value))?;
                }
            }
        }
        Ok(values)
    }

    /// The values at `places`, from row `start` on.
    fn lookup(
        &mut self,
        state: u32,
        groups: &[u32],
        places: &Places,
        start: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut found: Vec<Option<Vec<u8>>> = vec![None; groups.len()];
        let (mut addresses, mut asked) = (Keys::default(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            let mut address = self.prefix(state, *group);
            let is_cleared = self.cleared.contains_key(&address);
            address.extend_from_slice(places.get(start + row));
            match self.writes.get(&address) {
                Some(write) => found[row].clone_from(&write.value),
                None if is_cleared => {}
                None => {
                    addresses.push(&address, self.hash(state as usize, *group));
                    asked.push(row);
                }
            }
        }
        let mut stored = Values::new(None);
        let read = self.store(state as usize).get_entries(&addresses, &mut stored);
        self.keep_fault(read)?;
        for (i, row) in asked.into_iter().enumerate() {
            found[row] = stored.get(i).and_then(|stored| self.alive(state, groups[row], stored)).map(<[u8]>::to_vec);
        }
        Ok(found)
    }

    /// The value of a stored one, unless it has expired.
    fn alive<'v>(&self, state: u32, group: u32, stored: &'v [u8]) -> Option<&'v [u8]> {
        let Some(time_to_live) = self.states[state as usize].time_to_live else { return Some(stored) };
        let until = self.times.expired_until(time_to_live, group as usize);
        (stamp(stored) > until).then(|| &stored[STAMP_BYTES..])
    }

    /// The entries of a range of each group, in order: at most `entries_max` of each, and what the limits allow.
    pub fn scan(
        &mut self,
        state: u32,
        groups: &[u32],
        start: Option<Ends>,
        end: Option<Ends>,
        entries_max: u32,
    ) -> Result<Page, String> {
        let info = self.entries_of(state)?;
        let by_reads = info.time_to_live.is_some_and(|it| it.refreshed_by_reads);
        let mut page = Gathered::new(info.width(), &self.limits);
        for ends in [&start, &end].into_iter().flatten() {
            self.check_groups(state, groups, ends.keys.len(), "ends of ranges")?;
        }
        self.check_groups(state, groups, groups.len(), "groups")?;
        let (start, end) = (start.map(EndPlaces::new), end.map(EndPlaces::new));
        for (row, group) in groups.iter().enumerate() {
            let prefix = self.prefix(state, *group);
            let from = start.as_ref().map_or(Bound::Unbounded, |ends| ends.bound(row, &prefix));
            let to = end.as_ref().map_or(Bound::Unbounded, |ends| ends.bound(row, &prefix));
            page.start_group(entries_max as usize, prefix.len());
            let scanned = self.scan_group(state, *group, &prefix, (from, to), &mut page);
            self.keep_fault(scanned)?;
            page.finish_group();
        }
        let key = self.key_field(state)?;
        if by_reads {
            self.refresh(state, groups, &page)?;
        }
        let keys = key::try_decode(page.places.iter().map(|place| &**place), &[key]);
        let mut keys = self.keep_fault(keys.map_err(|error| self.damaged(state, &error)))?;
        Ok(page.finish(keys.remove(0)))
    }

    /// The fault for an entry whose address cannot be read.
    fn damaged(&self, state: u32, error: &str) -> Fault {
        let name = &self.states[state as usize].name;
        Fault::unrestorable(format!("an entry of state `{name}` is damaged: {error}"))
    }

    fn scan_group(
        &mut self,
        state: u32,
        group: u32,
        prefix: &[u8],
        (from, to): (Bound<Vec<u8>>, Bound<Vec<u8>>),
        page: &mut Gathered,
    ) -> Result<(), Fault> {
        let behind = behind(prefix);
        let range = (
            match &from {
                Bound::Unbounded => Bound::Included(prefix),
                bound => bound.as_ref().map(Vec::as_slice),
            },
            match &to {
                Bound::Unbounded => behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
                bound => bound.as_ref().map(Vec::as_slice),
            },
        );
        if is_empty(range) {
            return Ok(());
        }
        let hash = self.hash(state as usize, group);
        let (mut backend, mut broadcast) = (self.backend.take(), self.broadcast.take());
        let store = match (&mut backend, &mut broadcast) {
            (_, Some(broadcast)) if self.is_broadcast(state as usize) => broadcast.maps(),
            (backend, _) => &mut **backend.as_mut().expect("checked by `info`"),
        };
        let mut own = self.writes.range::<[u8], _>(range).peekable();
        let mut visit = |address: &[u8], stored: &[u8]| {
            while let Some((own_address, write)) = own.next_if(|(own_address, _)| own_address.as_slice() < address) {
                page.add(own_address, write.value.as_deref())?;
            }
            match own.next_if(|(own_address, _)| own_address.as_slice() == address) {
                Some((_, write)) => page.add(address, write.value.as_deref()),
                None => page.add(address, self.alive(state, group, stored)),
            }
        };
        let scanned = match self.cleared.contains_key(prefix) {
            true => Ok(()),
            false => store.scan_entries(hash, range, &mut visit),
        };
        let _ = own.try_for_each(|(address, write)| page.add(address, write.value.as_deref()));
        (self.backend, self.broadcast) = (backend, broadcast);
        scanned
    }

    /// Counts entries that were read as written.
    fn refresh(&mut self, state: u32, groups: &[u32], page: &Gathered) -> Result<(), String> {
        let mut row = 0;
        for (group, count) in groups.iter().zip(&page.counts) {
            for _ in 0..*count {
                let mut address = self.prefix(state, *group);
                address.extend_from_slice(&page.places[row]);
                self.write(address, *group, page.values.get(row).map(<[u8]>::to_vec))?;
                row += 1;
            }
        }
        Ok(())
    }

    /// Gives keys of a map values, in order; absent removes.
    pub fn put(&mut self, state: u32, groups: &[u32], keys: &ArrayRef, values: &Values) -> Result<(), String> {
        let info = self.entries_of(state)?;
        if !info.kind.is_map() {
            return Err(format!("state `{}` is a list: elements are appended", info.name));
        }
        self.check_writable(info)?;
        self.check_groups(state, groups, keys.len(), "keys")?;
        self.check_groups(state, groups, values.len(), "values")?;
        let places = Places::new(keys);
        for (row, group) in groups.iter().enumerate() {
            let place = places.get(row);
            if place.len() > self.limits.key_bytes_max {
                let (bytes, limit) = (place.len(), self.limits.key_bytes_max);
                return Err(format!("a key of a map has {bytes} bytes; key_bytes_max is {limit}"));
            }
            let mut address = self.prefix(state, *group);
            address.extend_from_slice(place);
            self.write(address, *group, values.get(row).map(<[u8]>::to_vec))?;
        }
        Ok(())
    }

    /// Puts elements behind the last one of a list, in order.
    pub fn append(&mut self, state: u32, groups: &[u32], values: &Values) -> Result<(), String> {
        let info = self.entries_of(state)?;
        if !info.kind.is_list() {
            return Err(format!("state `{}` is a map: nothing can be appended", info.name));
        }
        self.check_groups(state, groups, values.len(), "elements")?;
        for (row, group) in groups.iter().enumerate() {
            let value = values.get(row).ok_or("an element of a list has no value")?.to_vec();
            let mut address = self.prefix(state, *group);
            let number = self.next_number(&address, *group)?;
            address.extend_from_slice(&place_of(number));
            self.write(address, *group, Some(value))?;
        }
        Ok(())
    }

    fn next_number(&mut self, prefix: &[u8], group: u32) -> Result<u64, String> {
        let behind = behind(prefix);
        let range = (Bound::Included(prefix), behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let own = self.writes.range::<[u8], _>(range).next_back().map(|(address, _)| address.clone());
        let last = match own {
            Some(address) => Some(address),
            None if self.cleared.contains_key(prefix) => None,
            None => {
                let hash = self.keys.hash(group as usize);
                let last = self.backend().last_entry(hash, prefix);
                self.keep_fault(last)?
            }
        };
        let Some(last) = last else { return Ok(0) };
        let number = number(&last[prefix.len()..]).ok_or_else(|| {
            let state = state_of(&last) as u32;
            self.damaged(state, "it is not at the number of an element")
        });
        self.keep_fault(number)?.checked_add(1).ok_or_else(|| "a list has too many elements".to_owned())
    }

    /// Removes all entries of groups.
    pub fn clear(&mut self, state: u32, groups: &[u32]) -> Result<(), String> {
        self.check_writable(self.entries_of(state)?)?;
        self.check_groups(state, groups, groups.len(), "groups")?;
        for group in groups {
            let prefix = self.prefix(state, *group);
            let behind = behind(&prefix);
            let end = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let own = self.writes.range::<[u8], _>((Bound::Included(&*prefix), end));
            let own: Vec<Vec<u8>> = own.map(|(address, _)| address.clone()).collect();
            own.iter().for_each(|address| drop(self.writes.remove(address)));
            self.count_bytes(prefix.len())?;
            self.cleared.insert(prefix, *group);
        }
        Ok(())
    }

    /// Counts values of a value-like state as written.
    pub fn touch(&mut self, state: u32, groups: &[u32]) -> Result<(), String> {
        let info = self.info(state)?;
        if !info.kind.is_value_like() {
            return Err(format!("state `{}` has no values to touch", info.name));
        }
        self.check_groups(state, groups, groups.len(), "groups")?;
        self.touched.extend(groups.iter().map(|group| (state as usize, *group)));
        Ok(())
    }

    fn write(&mut self, address: Vec<u8>, group: u32, value: Option<Vec<u8>>) -> Result<(), String> {
        let bytes = value.as_ref().map_or(0, Vec::len);
        if bytes > self.limits.state_value_bytes_max {
            let name = &self.states[state_of(&address)].name;
            let limit = self.limits.state_value_bytes_max;
            return Err(format!("a value of state `{name}` has {bytes} bytes; state_value_bytes_max is {limit}"));
        }
        self.count_bytes(address.len() + bytes)?;
        self.writes.insert(address, Write { group, value });
        Ok(())
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.write_bytes += bytes;
        let limit = self.limits.state_write_bytes_max;
        if self.write_bytes > limit {
            return Err(format!("a call wrote more to its lists and maps than state_write_bytes_max: {limit}"));
        }
        Ok(())
    }
}

/// The number of the element at this place; `None` = it is no place.
fn number(place: &[u8]) -> Option<u64> {
    let (tag, number) = place.split_first()?;
    (*tag == 1).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

fn is_empty((from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        _ => false,
    }
}

/// Keys of entries as they stand in addresses.
struct Places {
    keys: Keys,
}

impl Places {
    fn new(keys: &ArrayRef) -> Self {
        let mut places = Keys::default();
        places.encode(std::slice::from_ref(keys), keys.len());
        Self { keys: places }
    }

    fn get(&self, row: usize) -> &[u8] {
        self.keys.get(row)
    }
}

struct EndPlaces {
    ends: Ends,
    places: Places,
}

impl EndPlaces {
    fn new(ends: Ends) -> Self {
        Self { places: Places::new(&ends.keys), ends }
    }

    fn bound(&self, row: usize, prefix: &[u8]) -> Bound<Vec<u8>> {
        if self.ends.keys.is_null(row) {
            return Bound::Unbounded;
        }
        let address = [prefix, self.places.get(row)].concat();
        if self.ends.inclusive { Bound::Included(address) } else { Bound::Excluded(address) }
    }
}

#[cfg(test)]
mod tests;
