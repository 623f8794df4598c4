//! A map for each key.

use super::entries::{AHEAD_ENTRIES, AHEAD_GROUPS, Ahead, AnyEntries, Journal, KEPT_ENTRIES_MAX, PAGE_ENTRIES};
use super::host;
use crate::bindings::wasmill::operator::columns::Column;
use crate::bindings::wasmill::operator::state::{Bounds, Page};
use crate::encoded;
use crate::process::{Context, Process};
use crate::record::{Builder, Cursor, Field};
use crate::value::Data;
use crate::{Date, Decimal, Duration, Timestamp};
use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

/// A type that the keys of a [`Map`] can have: integers, `bool`, `String`, `Vec<u8>`, `[u8; N]`, times and decimals.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a map in state",
    label = "not a type of keys",
    note = "keys are integers, bool, String, Vec<u8>, [u8; N], Timestamp, Date, Duration or Decimal"
)]
pub trait MapKey: Data + Ord + Clone {}

macro_rules! map_keys {
    ($($key:ty),*) => { $(impl MapKey for $key {})* };
}
map_keys!(bool, i8, i16, i32, i64, u8, u16, u32, u64, String, Vec<u8>, Timestamp, Date, Duration);
impl<const N: usize> MapKey for [u8; N] {}
impl<const P: u8, const S: i8> MapKey for Decimal<P, S> {}

/// A state with a map for each key, ordered by the map's keys, declared with [`Open::map`](crate::Open::map). It may be
/// larger than memory.
///
/// The entries stay with the host. A call of the component asks for what its rows read, and sends all that they wrote
/// at its end, so the cost is by call, not by row, for writes and for small maps: the first read takes the first 32
/// entries of every key of the batch along. For maps of more entries each `get` of an entry that the call has not
/// seen yet asks the host, about a microsecond.
///
/// ```
/// # use wasmill_sdk::prelude::*;
/// # #[derive(Record)] struct User<'a> { user: &'a str }
/// # #[derive(Record)] struct Visit<'a> { page: &'a str }
/// # #[derive(Record, Debug, PartialEq)] struct Top { page: String, visits: u64 }
/// struct Favourite { visits: Map<String, u64> }
/// impl Process for Favourite {
/// #   type Key<'a> = User<'a>;
/// #   type In<'a> = Visit<'a>;
/// #   type Out<'a> = Top;
/// #   type Timer = NoTimers;
///     fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
///         Ok(Self { visits: cx.map("visits") })
///     }
///     fn on_event(&self, visit: Visit<'_>, cx: &mut Keyed<'_, Self>) -> Outcome {
///         let page = visit.page.to_owned();
///         let visits = self.visits.get(cx, &page).unwrap_or(0) + 1;
///         self.visits.insert(cx, page, visits);
///         let favourite = self.visits.iter(cx).max_by_key(|(_, visits)| *visits);
///         if let Some((page, visits)) = favourite {
///             cx.emit(Top { page, visits });
///         }
///         Ok(())
///     }
/// }
/// # use wasmill_sdk::testing::Drive;
/// # #[derive(Record)] struct Input<'a> { user: &'a str, page: &'a str }
/// # let mut favourite = Drive::<Favourite>::over::<Input<'_>>("");
/// # favourite.batch(["/a", "/b", "/b"].map(|page| (Timestamp(0), Input { user: "u", page })));
/// # assert_eq!(favourite.outputs().last(), Some(&Top { page: "/b".into(), visits: 2 }));
/// ```
#[derive(Debug)]
pub struct Map<K, V> {
    /// which of the states with entries it is
    number: usize,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K: MapKey, V: Data> Map<K, V> {
    pub(in crate::process) fn new(number: usize) -> Self {
        Self { number, of: PhantomData }
    }

    fn entries<'c, P: Process>(&self, cx: &'c mut Context<'_, P>) -> &'c mut MapEntries<K> {
        cx.entries(self.number)
    }

    /// The value of an entry.
    pub fn get<P: Process>(&self, cx: &mut Context<'_, P>, key: &K) -> Option<V> {
        let group = cx.group();
        self.entries(cx).get(group, key).map(|mut bytes| V::decode(&mut bytes))
    }

    /// Whether there is an entry.
    pub fn contains<P: Process>(&self, cx: &mut Context<'_, P>, key: &K) -> bool {
        let group = cx.group();
        self.entries(cx).get(group, key).is_some()
    }

    /// Gives an entry a value. Does not read.
    pub fn insert<P: Process>(&self, cx: &mut Context<'_, P>, key: K, value: V) {
        let (group, row) = (cx.group(), cx.row());
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        self.entries(cx).write(group, row, key, Some(bytes));
    }

    /// Removes an entry, if there is one. Does not read.
    pub fn remove<P: Process>(&self, cx: &mut Context<'_, P>, key: &K) {
        let (group, row) = (cx.group(), cx.row());
        self.entries(cx).write(group, row, key.clone(), None);
    }

    /// All entries in the order of their keys, as they are now. Reads the whole map into the instance's memory.
    pub fn iter<P: Process>(&self, cx: &mut Context<'_, P>) -> impl Iterator<Item = (K, V)> + use<P, K, V> {
        self.range(cx, ..)
    }

    /// The entries of a range of keys, in their order, as they are now. Reads the range into the instance's memory.
    pub fn range<P: Process, R: RangeBounds<K>>(
        &self,
        cx: &mut Context<'_, P>,
        range: R,
    ) -> impl Iterator<Item = (K, V)> + use<P, R, K, V> {
        let group = cx.group();
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let found = self.entries(cx).range(group, &bounds);
        found.into_iter().map(|(key, bytes)| (key, V::decode(&mut &*bytes)))
    }

    /// The first entry of a range of keys: reads no more of a large map than it must.
    pub fn first<P: Process>(&self, cx: &mut Context<'_, P>, range: impl RangeBounds<K>) -> Option<(K, V)> {
        let group = cx.group();
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let (key, bytes) = self.entries(cx).first(group, &bounds)?;
        Some((key, V::decode(&mut &*bytes)))
    }

    /// Removes all entries. Does not read.
    pub fn clear<P: Process>(&self, cx: &mut Context<'_, P>) {
        let (group, row) = (cx.group(), cx.row());
        self.entries(cx).clear(group, row);
    }
}

pub(super) type Range<K> = (Bound<K>, Bound<K>);

/// The entries of one map state, for all groups of a call.
pub(in crate::process) struct MapEntries<K> {
    state: u32,
    width: Option<usize>,
    /// It is of the slot: there is one group, whatever the call's, and what was read stays known until it is written,
    /// which only calls of this instance do.
    is_broadcast: bool,
    groups: Vec<Group<K>>,
    journal: Journal<Change<K>>,
    ahead: Ahead,
}

/// What the call knows of one group's map.
struct Group<K> {
    known: BTreeMap<K, Entry>,
    /// what is not known is not there
    whole: bool,
    /// what the host has is to be removed
    cleared: bool,
    /// its first entries were asked for
    asked: bool,
}

#[derive(Clone)]
struct Entry {
    value: Option<Vec<u8>>,
    written: bool,
}

enum Change<K> {
    Entry(u32, K, Option<Entry>),
    Group(u32, Group<K>),
}

impl<K> Group<K> {
    fn new() -> Self {
        Self { known: BTreeMap::new(), whole: false, cleared: false, asked: false }
    }
}

impl<K: MapKey> MapEntries<K> {
    pub(in crate::process) fn new(state: u32, width: Option<usize>) -> Self {
        let (journal, ahead) = (Journal::default(), Ahead::default());
        Self { state, width, is_broadcast: false, groups: Vec::new(), journal, ahead }
    }

    /// Of broadcast state.
    pub(in crate::process) fn broadcast(state: u32, width: Option<usize>) -> Self {
        Self { is_broadcast: true, ..Self::new(state, width) }
    }

    fn group(&mut self, group: u32) -> &mut Group<K> {
        &mut self.groups[group as usize]
    }

    pub(super) fn get(&mut self, group: u32, key: &K) -> Option<&[u8]> {
        if !self.knows(group, key) && !self.group(group).asked && self.ahead.is_worth_it() {
            self.read_ahead(group);
        }
        if !self.knows(group, key) {
            let answers = host::get(self.state, &[group], &columns([key.clone()]));
            let value = encoded::get(&answers.values, self.width, 0).map(<[u8]>::to_vec);
            self.group(group).known.insert(key.clone(), Entry { value, written: false });
        }
        self.group(group).known.get(key).and_then(|entry| entry.value.as_deref())
    }

    fn knows(&mut self, group: u32, key: &K) -> bool {
        let group = self.group(group);
        group.whole || group.known.contains_key(key)
    }

    /// The first entries of this group, and of those behind it.
    fn read_ahead(&mut self, group: u32) {
        let behind = (group..).zip(&self.groups[group as usize..]);
        let unknown = behind.filter(|(_, group)| !group.whole && !group.asked).map(|(number, _)| number);
        let groups: Vec<u32> = unknown.take(AHEAD_GROUPS).collect();
        let entries_max = if self.is_broadcast { PAGE_ENTRIES } else { AHEAD_ENTRIES };
        let page = host::scan(self.state, &groups, None, None, entries_max);
        let (mut given, mut whole) = (0, 0);
        for (at, (number, _)) in groups.iter().zip(self.learn(&groups, &page)).enumerate() {
            let group = &mut self.groups[*number as usize];
            // Without entries but with more, it did not fit into the page.
            group.asked = page.counts[at] > 0 || !page.more[at];
            group.whole |= !page.more[at];
            given += usize::from(group.asked);
            whole += usize::from(group.whole);
        }
        self.group(group).asked = true;
        self.ahead.learn(given, whole);
    }

    /// Takes entries over, unless the call has written them; the last key of each group.
    fn learn(&mut self, groups: &[u32], page: &Page) -> Vec<Option<K>> {
        let keys = <K as Field<'_>>::reader(&mut Cursor::new(&page.keys));
        let mut row = 0;
        let mut last = Vec::with_capacity(groups.len());
        for (group, count) in groups.iter().zip(&page.counts) {
            let known = &mut self.groups[*group as usize].known;
            let mut key = None;
            for _ in 0..*count {
                let read = <K as Field<'_>>::read(&keys, row);
                let value = encoded::get(&page.values, self.width, row).map(<[u8]>::to_vec);
                known.entry(read.clone()).or_insert(Entry { value, written: false });
                key = Some(read);
                row += 1;
            }
            last.push(key);
        }
        last
    }

    /// Reads on behind `from`; the last key of what came, if there is more.
    fn read_on(&mut self, group: u32, from: &Bound<K>, to: &Bound<K>, entries_max: u32) -> Option<K> {
        let (start, end) = (bound(from), bound(to));
        let page = host::scan(self.state, &[group], start.as_ref(), end.as_ref(), entries_max);
        let last = self.learn(&[group], &page).pop().flatten();
        last.filter(|_| page.more[0])
    }

    /// Makes the call know a range of a group's map.
    fn load(&mut self, group: u32, range: &Range<K>) {
        if !self.group(group).whole && !self.group(group).asked && self.ahead.is_worth_it() {
            self.read_ahead(group);
        }
        if self.group(group).whole {
            return;
        }
        let mut from = range.0.clone();
        while let Some(last) = self.read_on(group, &from, &range.1, PAGE_ENTRIES) {
            from = Bound::Excluded(last);
        }
        self.group(group).whole = matches!(range, (Bound::Unbounded, Bound::Unbounded));
    }

    pub(super) fn range(&mut self, group: u32, range: &Range<K>) -> Vec<(K, Vec<u8>)> {
        if is_empty(range) {
            return Vec::new();
        }
        self.load(group, range);
        let known = self.group(group).known.range(range.clone());
        known.filter_map(|(key, entry)| Some((key.clone(), entry.value.clone()?))).collect()
    }

    pub(super) fn first(&mut self, group: u32, range: &Range<K>) -> Option<(K, Vec<u8>)> {
        const FEW: u32 = 8;
        if is_empty(range) {
            return None;
        }
        let mut from = range.0.clone();
        let whole = self.group(group).whole;
        loop {
            let last = if whole { None } else { self.read_on(group, &from, &range.1, FEW) };
            let mut known = self.group(group).known.range(range.clone());
            let first = known.find_map(|(key, entry)| Some((key.clone(), entry.value.clone()?)));
            match (first, last) {
                // What the call wrote may lie behind what the host has not told yet.
                (Some(first), Some(last)) if first.0 > last => from = Bound::Excluded(last),
                (None, Some(last)) => from = Bound::Excluded(last),
                (first, _) => return first,
            }
        }
    }

    pub(super) fn write(&mut self, group: u32, row: u32, key: K, value: Option<Vec<u8>>) {
        let was = self.group(group).known.insert(key.clone(), Entry { value, written: true });
        self.journal.push(row, Change::Entry(group, key, was));
    }

    pub(super) fn clear(&mut self, group: u32, row: u32) {
        let cleared = Group { whole: true, cleared: true, asked: true, ..Group::new() };
        let was = std::mem::replace(self.group(group), cleared);
        self.journal.push(row, Change::Group(group, was));
    }
}

impl<K: MapKey> AnyEntries for MapEntries<K> {
    fn start(&mut self, groups: usize) {
        let keeps =
            self.is_broadcast && self.groups.iter().all(|group| group.whole || group.known.len() < KEPT_ENTRIES_MAX);
        if !keeps {
            self.groups.clear();
        }
        self.groups.resize_with(if self.is_broadcast { 1 } else { groups }, Group::new);
        self.journal.clear();
        self.ahead.start_call();
    }

    fn undo_row(&mut self, row: u32) {
        for change in self.journal.take(row) {
            match change {
                Change::Entry(group, key, Some(entry)) => drop(self.group(group).known.insert(key, entry)),
                Change::Entry(group, key, None) => {
                    let group = self.group(group);
                    group.known.remove(&key);
                    // The host may have it, and what was read since has passed it over.
                    group.whole &= group.cleared;
                }
                Change::Group(group, was) => *self.group(group) = was,
            }
        }
    }

    fn finish(&mut self) {
        let groups = (0..).zip(&self.groups);
        let cleared: Vec<u32> = groups.clone().filter(|(_, group)| group.cleared).map(|(number, _)| number).collect();
        if !cleared.is_empty() {
            host::clear(self.state, &cleared);
        }
        let (mut numbers, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (number, group) in groups {
            let written = group.known.iter().filter(|(_, entry)| entry.written);
            for (key, entry) in written.filter(|(_, entry)| entry.value.is_some() || !group.cleared) {
                numbers.push(number);
                keys.push(key.clone());
                values.push(entry.value.as_deref());
            }
        }
        let is_unchanged = numbers.is_empty() && cleared.is_empty();
        if !numbers.is_empty() {
            host::put(self.state, &numbers, &columns(keys), &encoded::pack(values.into_iter(), self.width));
        }
        // The host may yet refuse the call.
        if !(self.is_broadcast && is_unchanged) {
            self.groups.clear();
        }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn width(&self) -> (u32, Option<usize>) {
        (self.state, self.width)
    }
}

/// Values of one type as columns.
fn columns<T: Data>(values: impl IntoIterator<Item = T>) -> Vec<Column> {
    let mut builder = <T as Field<'static>>::Builder::default();
    builder.reserve(1);
    values.into_iter().for_each(|value| value.write(&mut builder));
    let mut columns = Vec::new();
    builder.finish(&mut columns);
    columns
}

fn bound<K: MapKey>(bound: &Bound<K>) -> Option<Bounds> {
    let (key, inclusive) = match bound {
        Bound::Unbounded => return None,
        Bound::Included(key) => (key, true),
        Bound::Excluded(key) => (key, false),
    };
    Some(Bounds { keys: columns([key.clone()]), inclusive })
}

/// Nothing lies in it; a `BTreeMap` refuses some of these.
fn is_empty<K: Ord>(range: &Range<K>) -> bool {
    match range {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
        _ => false,
    }
}
