//! The contract's interface `state`, natively: the entries of the keys of the call that is being driven.

use super::places;
use crate::bindings::wasmill::operator::columns::Column;
use crate::bindings::wasmill::operator::descriptors::{Refresh, StateInfo, StateKind};
use crate::bindings::wasmill::operator::state::{Answers, Bounds, Page};
use crate::encoded;
use crate::schema::{DataType, IntegerType};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Of one page: small, so that tests turn pages.
const PAGE_ENTRIES_MAX: usize = 100;

/// The entries of one state of one key, by the place of their key.
pub(super) type Entries = BTreeMap<Vec<u8>, Entry>;

pub(super) struct Entry {
    value: Vec<u8>,
    /// in the clock of the state's time to live
    pub(super) written: i64,
}

/// What the functions see and change while a call runs.
#[derive(Default)]
pub(super) struct Current {
    /// of the value-like and all other states
    pub(super) states: Vec<StateInfo>,
    pub(super) widths: Vec<Option<usize>>,
    /// by group, then by state
    pub(super) entries: Vec<Vec<Entries>>,
    /// of broadcast state, by state
    pub(super) broadcast: Vec<Entries>,
    /// by state, then by group: what a write's time is
    pub(super) times: Vec<Vec<i64>>,
    pub(super) touched: Vec<(u32, u32)>,
    /// how often the call has asked for entries
    pub(super) reads: usize,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Makes a call that sees these entries; what has become of them, and the result.
pub(super) fn during<R>(current: Current, call: impl FnOnce() -> R) -> (Current, R) {
    CURRENT.set(Some(current));
    let result = call();
    (CURRENT.take().expect("the call has returned"), result)
}

fn current<R>(work: impl FnOnce(&mut Current) -> R) -> R {
    CURRENT.with_borrow_mut(|current| work(current.as_mut().expect("state is reached within a call")))
}

impl Current {
    fn entries(&mut self, state: u32, group: u32) -> &mut Entries {
        match self.states[state as usize].kind {
            StateKind::Broadcast => &mut self.broadcast[state as usize],
            _ => &mut self.entries[group as usize][state as usize],
        }
    }

    /// What a write, or a read of an entry that was last written at `written`, makes of its time.
    fn refreshed(&self, state: u32, group: u32, written: i64) -> i64 {
        match self.states[state as usize].time_to_live {
            Some(time_to_live) if time_to_live.refresh == Refresh::OnReadAndWrite => self.time(state, group),
            _ => written,
        }
    }

    fn time(&self, state: u32, group: u32) -> i64 {
        match self.states[state as usize].kind {
            StateKind::Broadcast => 0,
            _ => self.times[state as usize][group as usize],
        }
    }

    fn set(&mut self, state: u32, group: u32, place: Vec<u8>, value: &[u8]) {
        let written = self.time(state, group);
        self.entries(state, group).insert(place, Entry { value: value.to_vec(), written });
    }

    /// The value of an entry that is read.
    fn read(&mut self, state: u32, group: u32, place: &[u8]) -> Option<Vec<u8>> {
        let written = self.entries(state, group).get(place)?.written;
        let written = self.refreshed(state, group, written);
        let entry = self.entries(state, group).get_mut(place)?;
        entry.written = written;
        Some(entry.value.clone())
    }

    /// Of the keys of entries: a map's, or the numbers of elements.
    fn key_type(&self, state: u32) -> DataType {
        let key_type = &self.states[state as usize].key_type;
        key_type.as_ref().map_or(DataType::Integer(IntegerType::U64), |key| key.fields[0].data_type)
    }

    fn places(&self, state: u32, keys: &[Column], rows: usize) -> Vec<Vec<u8>> {
        (0..rows).map(|row| places::encode(self.key_type(state), &keys[0], row)).collect()
    }

    fn bounds(&self, state: u32, bounds: Option<&Bounds>, rows: usize) -> Vec<Bound<Vec<u8>>> {
        let Some(bounds) = bounds else { return vec![Bound::Unbounded; rows] };
        let places = self.places(state, &bounds.keys, rows).into_iter();
        places.map(|place| if bounds.inclusive { Bound::Included(place) } else { Bound::Excluded(place) }).collect()
    }
}

pub(crate) fn get(state: u32, groups: &[u32], keys: &[Column]) -> Answers {
    current(|current| {
        current.reads += 1;
        let places = current.places(state, keys, groups.len());
        let pairs = groups.iter().zip(&places);
        let values: Vec<_> = pairs.map(|(group, place)| current.read(state, *group, place)).collect();
        let width = current.widths[state as usize];
        Answers { rows: groups.len() as u32, values: encoded::pack(values.iter().map(Option::as_deref), width) }
    })
}

pub(crate) fn scan(state: u32, groups: &[u32], start: Option<&Bounds>, end: Option<&Bounds>, entries_max: u32) -> Page {
    current(|current| {
        current.reads += 1;
        let starts = current.bounds(state, start, groups.len());
        let ends = current.bounds(state, end, groups.len());
        let (mut counts, mut more, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (group, range) in groups.iter().zip(starts.into_iter().zip(ends)) {
            let mut found: Vec<_> =
                current.entries(state, *group).range(range).map(|(place, _)| place.clone()).collect();
            let all = found.len();
            found.truncate((PAGE_ENTRIES_MAX - keys.len()).min(entries_max as usize));
            counts.push(found.len() as u32);
            more.push(found.len() < all);
            values.extend(found.iter().map(|place| current.read(state, *group, place)));
            keys.append(&mut found);
        }
        let values = encoded::pack(values.iter().map(Option::as_deref), current.widths[state as usize]);
        Page { counts, more, keys: vec![places::decode(current.key_type(state), &keys)], values }
    })
}

pub(crate) fn put(state: u32, groups: &[u32], keys: &[Column], values: &Column) {
    current(|current| {
        let places = current.places(state, keys, groups.len());
        let width = current.widths[state as usize];
        for (row, (group, place)) in groups.iter().zip(places).enumerate() {
            match encoded::get(values, width, row) {
                None => drop(current.entries(state, *group).remove(&place)),
                Some(value) => current.set(state, *group, place, value),
            }
        }
    });
}

pub(crate) fn append(state: u32, groups: &[u32], values: &Column) {
    current(|current| {
        let width = current.widths[state as usize];
        for (row, group) in groups.iter().enumerate() {
            let last = current.entries(state, *group).last_key_value();
            let number = last.map_or(0, |(place, _)| u64::from_be_bytes(place[..].try_into().expect("a number")) + 1);
            let value = encoded::get(values, width, row).expect("an element has a value");
            current.set(state, *group, number.to_be_bytes().to_vec(), value);
        }
    });
}

pub(crate) fn clear(state: u32, groups: &[u32]) {
    current(|current| groups.iter().for_each(|group| current.entries(state, *group).clear()));
}

pub(crate) fn touch(state: u32, groups: &[u32]) {
    current(|current| current.touched.extend(groups.iter().map(|group| (state, *group))));
}
