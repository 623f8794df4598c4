//! State of keys. The values of a call's keys come with it and go back with its result, so reading and writing them
//! is array access.

use super::{Context, Process};
use crate::bindings::wasmill::operator::calls::GroupState;
use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::record::bits;
use crate::value::Data;
use std::marker::PhantomData;

/// A state with one value for each key, declared with [`Open::value`](super::Open::value).
///
/// It is a handle: the value is that of the key of the row or timer at hand. A key without a value takes no space.
#[derive(Debug)]
pub struct Value<T> {
    number: u32,
    of: PhantomData<fn() -> T>,
}

impl<T: Data> Value<T> {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            of: PhantomData,
        }
    }

    /// The key's value, if it has one.
    #[inline]
    pub fn get<P: Process>(&self, cx: &Context<'_, P>) -> Option<T> {
        cx.cells(self.number).get(cx.group())
    }

    /// The key's value, or the default.
    #[inline]
    pub fn get_or_default<P: Process>(&self, cx: &Context<'_, P>) -> T
    where
        T: Default,
    {
        self.get(cx).unwrap_or_default()
    }

    /// Whether the key has a value.
    #[inline]
    pub fn exists<P: Process>(&self, cx: &Context<'_, P>) -> bool {
        cx.cells(self.number).exists(cx.group())
    }

    /// Gives the key a value.
    #[inline]
    pub fn set<P: Process>(&self, cx: &mut Context<'_, P>, value: T) {
        let (group, row) = (cx.group(), cx.row());
        cx.cells_mut(self.number).set(group, row, &value);
    }

    /// Changes the key's value, starting from the default when it has none, and returns it.
    #[inline]
    pub fn update<P: Process>(&self, cx: &mut Context<'_, P>, change: impl FnOnce(&mut T)) -> T
    where
        T: Default,
    {
        let mut value = self.get_or_default(cx);
        change(&mut value);
        let (group, row) = (cx.group(), cx.row());
        cx.cells_mut(self.number).set(group, row, &value);
        value
    }

    /// Takes the key's value away.
    #[inline]
    pub fn clear<P: Process>(&self, cx: &mut Context<'_, P>) {
        let (group, row) = (cx.group(), cx.row());
        cx.cells_mut(self.number).clear(group, row);
    }
}

/// Where a value of varying length is in the data.
type Slot = (u32, u32);
const ABSENT: Slot = (u32::MAX, 0);
/// No row: nothing to undo.
const NO_ROW: u32 = u32::MAX;

/// The values of one state for all groups of a call.
pub(super) struct Cells {
    width: Option<usize>,
    groups: usize,
    /// fixed width: an array; otherwise what slots point into
    data: Vec<u8>,
    /// of a fixed width: which groups have a value, none = all
    present: Option<Vec<u8>>,
    /// of varying length: where each group's value is
    slots: Vec<Slot>,
    /// of varying length: how much of the data slots point to
    live: usize,
    changed: bool,
    undo: Undo,
}

/// What the row at hand found before it first wrote.
struct Undo {
    row: u32,
    changed: bool,
    present: bool,
    bytes: Vec<u8>,
    slot: Slot,
}

impl Cells {
    pub(super) fn new(width: Option<usize>) -> Self {
        let undo = Undo {
            row: NO_ROW,
            changed: false,
            present: false,
            bytes: vec![0; width.unwrap_or(0)],
            slot: ABSENT,
        };
        Self {
            width,
            groups: 0,
            data: Vec::new(),
            present: None,
            slots: Vec::new(),
            live: 0,
            changed: false,
            undo,
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Takes the values that came with a call.
    pub(super) fn start(&mut self, groups: usize, column: Column) {
        self.groups = groups;
        self.changed = false;
        self.undo.row = NO_ROW;
        match (self.width, column.values) {
            (Some(_), Values::Fixed(data)) => (self.data, self.present) = (data, column.validity),
            (Some(width), Values::Nulls) => {
                self.data = vec![0; groups * width];
                self.present = Some(vec![0; groups.div_ceil(8)]);
            }
            (None, Values::Variable(Variable { offsets, data })) => {
                self.live = data.len();
                self.data = data;
                self.slots.clear();
                self.slots
                    .extend(offsets.windows(2).enumerate().map(|(group, ends)| {
                        match &column.validity {
                            Some(validity) if !bits::get(validity, group) => ABSENT,
                            _ => (ends[0] as u32, ends[1] as u32),
                        }
                    }));
            }
            (None, Values::Nulls) => {
                self.live = 0;
                self.data.clear();
                self.slots.clear();
                self.slots.resize(groups, ABSENT);
            }
            _ => panic!("the host passed a state in another layout than its type's"),
        }
    }

    #[inline]
    fn exists(&self, group: u32) -> bool {
        match self.width {
            Some(_) => self
                .present
                .as_ref()
                .is_none_or(|present| bits::get(present, group as usize)),
            None => self.slots[group as usize] != ABSENT,
        }
    }

    #[inline]
    fn get<T: Data>(&self, group: u32) -> Option<T> {
        let mut bytes = match T::WIDTH {
            Some(width) => {
                if !self.exists(group) {
                    return None;
                }
                &self.data[group as usize * width..][..width]
            }
            None => {
                let slot = self.slots[group as usize];
                if slot == ABSENT {
                    return None;
                }
                &self.data[slot.0 as usize..slot.1 as usize]
            }
        };
        Some(T::decode(&mut bytes))
    }

    #[inline]
    fn set<T: Data>(&mut self, group: u32, row: u32, value: &T) {
        match T::WIDTH {
            Some(width) => {
                let mut slot = &mut self.data[group as usize * width..][..width];
                if self.undo.row != row {
                    self.undo.bytes[..width].copy_from_slice(slot);
                    self.undo.row = row;
                    self.undo.changed = self.changed;
                    self.undo.present = self
                        .present
                        .as_ref()
                        .is_none_or(|present| bits::get(present, group as usize));
                }
                value.encode(&mut slot);
                if let Some(present) = &mut self.present {
                    bits::put(present, group as usize, true);
                }
                self.changed = true;
            }
            None => {
                let start = self.data.len();
                value.encode(&mut self.data);
                self.point(group, row, (start as u32, self.data.len() as u32));
            }
        }
    }

    fn clear(&mut self, group: u32, row: u32) {
        let Some(width) = self.width else {
            return self.point(group, row, ABSENT);
        };
        if !self.exists(group) {
            return;
        }
        if self.undo.row != row {
            self.undo
                .bytes
                .copy_from_slice(&self.data[group as usize * width..][..width]);
            self.undo.row = row;
            self.undo.changed = self.changed;
            self.undo.present = true;
        }
        self.data[group as usize * width..][..width].fill(0);
        let groups = self.groups;
        bits::put(
            self.present.get_or_insert_with(|| bits::ones(groups)),
            group as usize,
            false,
        );
        self.changed = true;
    }

    fn point(&mut self, group: u32, row: u32, to: Slot) {
        let was = std::mem::replace(&mut self.slots[group as usize], to);
        if was == to {
            return;
        }
        if self.undo.row != row {
            self.undo.row = row;
            self.undo.changed = self.changed;
            self.undo.slot = was;
        }
        self.live += length(to);
        self.live -= length(was);
        self.changed = true;
    }

    /// Makes the value of a refused row's group what it was before the row.
    pub(super) fn undo_row(&mut self, group: u32, row: u32) {
        if self.undo.row != row {
            return;
        }
        self.undo.row = NO_ROW;
        self.changed = self.undo.changed;
        match self.width {
            Some(width) => {
                self.data[group as usize * width..][..width].copy_from_slice(&self.undo.bytes);
                if let Some(present) = &mut self.present {
                    bits::put(present, group as usize, self.undo.present);
                }
            }
            None => {
                let was = std::mem::replace(&mut self.slots[group as usize], self.undo.slot);
                self.live += length(self.undo.slot);
                self.live -= length(was);
            }
        }
    }

    /// Between rows: drops values that were overwritten when they take most of the space.
    #[inline]
    pub(super) fn tidy(&mut self) {
        if self.width.is_none() && self.data.len() > (1 << 20) + 4 * self.live {
            self.compact();
        }
    }

    #[cold]
    fn compact(&mut self) {
        let mut data = Vec::with_capacity(2 * self.live);
        for slot in self.slots.iter_mut().filter(|slot| **slot != ABSENT) {
            let start = data.len() as u32;
            data.extend_from_slice(&self.data[slot.0 as usize..slot.1 as usize]);
            *slot = (start, data.len() as u32);
        }
        self.data = data;
        self.undo.row = NO_ROW;
    }

    /// The values of all groups, if one changed.
    pub(super) fn finish(&mut self, state: u32) -> Option<GroupState> {
        if !self.changed {
            return None;
        }
        let data = std::mem::take(&mut self.data);
        let values = if self.width.is_some() {
            Column {
                validity: self.present.take(),
                values: Values::Fixed(data),
            }
        } else {
            let mut offsets = Vec::with_capacity(self.slots.len() + 1);
            let mut packed = Vec::with_capacity(self.live);
            let mut present = None;
            offsets.push(0);
            for (group, slot) in self.slots.iter().enumerate() {
                if *slot == ABSENT {
                    let groups = self.groups;
                    bits::put(
                        present.get_or_insert_with(|| bits::ones(groups)),
                        group,
                        false,
                    );
                } else {
                    packed.extend_from_slice(&data[slot.0 as usize..slot.1 as usize]);
                }
                offsets.push(packed.len() as i32);
            }
            Column {
                validity: present,
                values: Values::Variable(Variable {
                    offsets,
                    data: packed,
                }),
            }
        };
        Some(GroupState { state, values })
    }
}

fn length(slot: Slot) -> usize {
    if slot == ABSENT {
        0
    } else {
        (slot.1 - slot.0) as usize
    }
}
