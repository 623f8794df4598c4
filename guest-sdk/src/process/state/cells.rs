//! The values of one value-like state for all groups of a call: reading and writing them is array access.

use crate::bindings::wasmill::operator::calls::GroupState;
use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::record::bits;
use crate::value::Data;

/// Where a value of varying length is in the data.
type Slot = (u32, u32);
const ABSENT: Slot = (u32::MAX, 0);
/// No row: nothing to undo.
const NO_ROW: u32 = u32::MAX;

/// The values of one state for all groups of a call.
pub(in crate::process) struct Cells {
    /// its number in the descriptor
    state: u32,
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
    /// of a state with a time to live: which groups' values were written, though perhaps to what they were
    written: Option<Vec<u8>>,
    /// tells the host of them; a function of its own, so that components whose states do not expire do not import it
    touch: Option<Touch>,
    undo: Undo,
}

/// `state.touch` of the contract.
pub(in crate::process) type Touch = fn(u32, &[u32]);

/// What the row at hand found before it first wrote.
struct Undo {
    row: u32,
    changed: bool,
    written: bool,
    present: bool,
    bytes: Vec<u8>,
    slot: Slot,
}

impl Cells {
    pub(in crate::process) fn new(state: u32, width: Option<usize>, touch: Option<Touch>) -> Self {
        let bytes = vec![0; width.unwrap_or(0)];
        let undo = Undo { row: NO_ROW, changed: false, written: false, present: false, bytes, slot: ABSENT };
        Self {
            state,
            width,
            groups: 0,
            data: Vec::new(),
            present: None,
            slots: Vec::new(),
            live: 0,
            changed: false,
            written: touch.map(|_| Vec::new()),
            touch,
            undo,
        }
    }

    pub(in crate::process) fn state(&self) -> u32 {
        self.state
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(in crate::process) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Takes the values that came with a call.
    pub(in crate::process) fn start(&mut self, groups: usize, column: Column) {
        self.groups = groups;
        self.changed = false;
        self.undo.row = NO_ROW;
        if let Some(written) = &mut self.written {
            written.clear();
            written.resize(groups.div_ceil(8), 0);
        }
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
                self.slots.extend(offsets.windows(2).enumerate().map(|(group, ends)| match &column.validity {
                    Some(validity) if !bits::get(validity, group) => ABSENT,
                    _ => (ends[0] as u32, ends[1] as u32),
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
    pub(super) fn exists(&self, group: u32) -> bool {
        match self.width {
            Some(_) => self.present.as_ref().is_none_or(|present| bits::get(present, group as usize)),
            None => self.slots[group as usize] != ABSENT,
        }
    }

    #[inline]
    pub(super) fn get<T: Data>(&self, group: u32) -> Option<T> {
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
    pub(super) fn set<T: Data>(&mut self, group: u32, row: u32, value: &T) {
        match T::WIDTH {
            Some(width) => {
                if self.undo.row != row {
                    self.note_written(group);
                }
                let mut slot = &mut self.data[group as usize * width..][..width];
                if self.undo.row != row {
                    self.undo.bytes[..width].copy_from_slice(slot);
                    self.undo.row = row;
                    self.undo.changed = self.changed;
                    self.undo.present = self.present.as_ref().is_none_or(|present| bits::get(present, group as usize));
                }
                value.encode(&mut slot);
                if let Some(present) = &mut self.present {
                    bits::put(present, group as usize, true);
                }
                self.changed = true;
            }
            None => {
                if self.undo.row != row {
                    self.tidy();
                }
                let start = self.data.len();
                value.encode(&mut self.data);
                self.point(group, row, (start as u32, self.data.len() as u32));
            }
        }
    }

    pub(super) fn clear(&mut self, group: u32, row: u32) {
        let Some(width) = self.width else {
            return self.point(group, row, ABSENT);
        };
        if !self.exists(group) {
            return;
        }
        if self.undo.row != row {
            self.undo.bytes.copy_from_slice(&self.data[group as usize * width..][..width]);
            self.undo.row = row;
            self.undo.changed = self.changed;
            self.undo.present = true;
            self.note_written(group);
        }
        self.data[group as usize * width..][..width].fill(0);
        let groups = self.groups;
        bits::put(self.present.get_or_insert_with(|| bits::ones(groups)), group as usize, false);
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
            self.note_written(group);
        }
        self.live += length(to);
        self.live -= length(was);
        self.changed = true;
    }

    /// Once a row, before its first write.
    fn note_written(&mut self, group: u32) {
        if let Some(written) = &mut self.written {
            self.undo.written = bits::get(written, group as usize);
            bits::put(written, group as usize, true);
        }
    }

    /// Makes the value of a refused row's group what it was before the row.
    pub(in crate::process) fn undo_row(&mut self, group: u32, row: u32) {
        if self.undo.row != row {
            return;
        }
        self.undo.row = NO_ROW;
        self.changed = self.undo.changed;
        if let Some(written) = &mut self.written {
            bits::put(written, group as usize, self.undo.written);
        }
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

    /// Before a row's first write: drops values that were overwritten when they take most of the space.
    #[inline]
    fn tidy(&mut self) {
        if self.data.len() > (1 << 20) + 4 * self.live {
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

    /// The values of all groups, if one changed; tells the host which were written to what they were.
    pub(in crate::process) fn finish(&mut self) -> Option<GroupState> {
        if let Some((written, touch)) = self.written.as_ref().zip(self.touch) {
            let groups: Vec<u32> = (0..self.groups).filter(|at| bits::get(written, *at)).map(|at| at as u32).collect();
            if !groups.is_empty() {
                touch(self.state, &groups);
            }
        }
        if !self.changed {
            return None;
        }
        let data = std::mem::take(&mut self.data);
        let values = if self.width.is_some() {
            Column { validity: self.present.take(), values: Values::Fixed(data) }
        } else {
            let mut offsets = Vec::with_capacity(self.slots.len() + 1);
            let mut packed = Vec::with_capacity(self.live);
            let mut present = None;
            offsets.push(0);
            for (group, slot) in self.slots.iter().enumerate() {
                if *slot == ABSENT {
                    let groups = self.groups;
                    bits::put(present.get_or_insert_with(|| bits::ones(groups)), group, false);
                } else {
                    packed.extend_from_slice(&data[slot.0 as usize..slot.1 as usize]);
                }
                offsets.push(packed.len() as i32);
            }
            Column { validity: present, values: Values::Variable(Variable { offsets, data: packed }) }
        };
        Some(GroupState { state: self.state, values })
    }
}

fn length(slot: Slot) -> usize {
    if slot == ABSENT { 0 } else { (slot.1 - slot.0) as usize }
}
