//! A list for each key.

use super::entries::{AHEAD_ENTRIES, AHEAD_GROUPS, Ahead, AnyEntries, Journal, PAGE_ENTRIES};
use super::host;
use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::bindings::wasmill::operator::state::{Bounds, Page};
use crate::encoded;
use crate::process::{Context, Process};
use crate::value::Data;
use std::any::Any;
use std::marker::PhantomData;

/// A state with a list for each key, declared with [`Open::list`](crate::Open::list). It may be larger than memory.
///
/// The elements stay with the host. `push` reads nothing, and what a call of the component pushes is sent at its end, at
/// once for all keys. The first `iter` takes short lists (of up to 32 elements) of all keys of the batch along; longer
/// ones are asked for key by key.
#[derive(Debug)]
pub struct List<T> {
    /// which of the states with entries it is
    number: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: Data> List<T> {
    pub(in crate::process) fn new(number: usize) -> Self {
        Self { number, of: PhantomData }
    }

    fn entries<'c, P: Process>(&self, cx: &'c mut Context<'_, P>) -> &'c mut ListEntries {
        cx.entries(self.number)
    }

    /// Adds an element at the end.
    pub fn push<P: Process>(&self, cx: &mut Context<'_, P>, item: T) {
        let (group, row) = (cx.group(), cx.row());
        let mut bytes = Vec::new();
        item.encode(&mut bytes);
        self.entries(cx).push(group, row, bytes);
    }

    /// Adds elements at the end.
    pub fn extend<P: Process>(&self, cx: &mut Context<'_, P>, items: impl IntoIterator<Item = T>) {
        items.into_iter().for_each(|item| self.push(cx, item));
    }

    /// The elements in the order in which they were added, as they are now. Reads the whole list into the instance's
    /// memory.
    pub fn iter<P: Process>(&self, cx: &mut Context<'_, P>) -> impl Iterator<Item = T> + use<P, T> {
        let group = cx.group();
        let items = self.entries(cx).all(group);
        items.into_iter().map(|bytes| T::decode(&mut &*bytes))
    }

    /// Makes these the elements.
    pub fn replace<P: Process>(&self, cx: &mut Context<'_, P>, items: impl IntoIterator<Item = T>) {
        self.clear(cx);
        self.extend(cx, items);
    }

    /// Removes all elements.
    pub fn clear<P: Process>(&self, cx: &mut Context<'_, P>) {
        let (group, row) = (cx.group(), cx.row());
        self.entries(cx).clear(group, row);
    }
}

/// The elements of one list state, for all groups of a call.
pub(in crate::process) struct ListEntries {
    state: u32,
    width: Option<usize>,
    groups: Vec<Group>,
    journal: Journal<Change>,
    ahead: Ahead,
}

/// What the call knows of one group's list.
#[derive(Default)]
struct Group {
    /// what the host has, once it was read
    loaded: Option<Vec<Vec<u8>>>,
    pushed: Vec<Vec<u8>>,
    /// what the host has is to be removed
    cleared: bool,
}

enum Change {
    Pushed(u32),
    Group(u32, Group),
}

impl ListEntries {
    pub(in crate::process) fn new(state: u32, width: Option<usize>) -> Self {
        Self { state, width, groups: Vec::new(), journal: Journal::default(), ahead: Ahead::default() }
    }

    fn push(&mut self, group: u32, row: u32, item: Vec<u8>) {
        self.groups[group as usize].pushed.push(item);
        self.journal.push(row, Change::Pushed(group));
    }

    fn clear(&mut self, group: u32, row: u32) {
        let cleared = Group { loaded: Some(Vec::new()), pushed: Vec::new(), cleared: true };
        let was = std::mem::replace(&mut self.groups[group as usize], cleared);
        self.journal.push(row, Change::Group(group, was));
    }

    fn all(&mut self, group: u32) -> Vec<Vec<u8>> {
        if self.groups[group as usize].loaded.is_none() {
            self.load(group);
        }
        let Group { loaded, pushed, .. } = &self.groups[group as usize];
        loaded.iter().flatten().chain(pushed).cloned().collect()
    }

    fn load(&mut self, group: u32) {
        let ahead = self.ahead.is_worth_it();
        let unread = (group..).zip(&self.groups[group as usize..]).filter(|(_, group)| group.loaded.is_none());
        let groups: Vec<u32> = unread.map(|(number, _)| number).take(if ahead { AHEAD_GROUPS } else { 1 }).collect();
        let entries_max = if ahead { AHEAD_ENTRIES } else { PAGE_ENTRIES };
        let page = host::scan(self.state, &groups, None, None, entries_max);
        let (mut row, mut given, mut whole) = (0, 0, 0);
        for (at, number) in groups.iter().enumerate() {
            let count = page.counts[at] as usize;
            given += usize::from(count > 0 || !page.more[at]);
            if !page.more[at] {
                whole += 1;
                self.groups[*number as usize].loaded = Some(self.items(&page, row, count));
            } else if at == 0 {
                self.groups[*number as usize].loaded = Some(self.read_on(*number, &page, count));
            }
            row += count;
        }
        if ahead {
            self.ahead.learn(given, whole);
        }
    }

    fn items(&self, page: &Page, start: usize, count: usize) -> Vec<Vec<u8>> {
        let item = |row| encoded::get(&page.values, self.width, row).expect("an element has a value").to_vec();
        (start..start + count).map(item).collect()
    }

    /// The whole list, of which the page has the first elements.
    fn read_on(&self, group: u32, first: &Page, count: usize) -> Vec<Vec<u8>> {
        let mut items = self.items(first, 0, count);
        let mut last = last_number(first, count);
        while let Some(number) = last {
            let keys = vec![Column { validity: None, values: Values::U64s(vec![number]) }];
            let start = Bounds { keys, inclusive: false };
            let page = host::scan(self.state, &[group], Some(&start), None, PAGE_ENTRIES);
            let count = page.counts[0] as usize;
            items.extend(self.items(&page, 0, count));
            last = if page.more[0] { last_number(&page, count) } else { None };
        }
        items
    }
}

/// The number of the last of the first `count` elements.
fn last_number(page: &Page, count: usize) -> Option<u64> {
    match &page.keys.first()?.values {
        Values::U64s(numbers) => count.checked_sub(1).map(|last| numbers[last]),
        _ => panic!("the host numbers the elements of a list with u64"),
    }
}

impl AnyEntries for ListEntries {
    fn start(&mut self, groups: usize) {
        self.groups.clear();
        self.groups.resize_with(groups, Group::default);
        self.journal.clear();
        self.ahead.start_call();
    }

    fn undo_row(&mut self, row: u32) {
        for change in self.journal.take(row) {
            match change {
                Change::Pushed(group) => drop(self.groups[group as usize].pushed.pop()),
                // What was read since the row began is lost, and read again.
                Change::Group(group, was) => self.groups[group as usize] = was,
            }
        }
    }

    fn finish(&mut self) {
        let groups = (0..).zip(&self.groups);
        let cleared: Vec<u32> = groups.clone().filter(|(_, group)| group.cleared).map(|(number, _)| number).collect();
        if !cleared.is_empty() {
            host::clear(self.state, &cleared);
        }
        let pushed = groups.flat_map(|(number, group)| group.pushed.iter().map(move |item| (number, Some(&**item))));
        let (numbers, items): (Vec<u32>, Vec<_>) = pushed.unzip();
        if !numbers.is_empty() {
            host::append(self.state, &numbers, &encoded::pack(items.into_iter(), self.width));
        }
        self.groups.clear();
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn width(&self) -> (u32, Option<usize>) {
        (self.state, self.width)
    }
}
