//! Removes what has expired, a little at a time, round and round.

use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::value::Values;
use crate::state::expiry::Expired;

use super::{MemoryState, decode_row};

/// Rows and entries that one step looks at: so many that a round takes a thousand steps, within these bounds.
const STEPS_OF_ROUND: usize = 1_000;
const LOOKS_MIN: usize = 1_000;
const LOOKS_MAX: usize = 16_000;

/// Where the next step goes on.
#[derive(Debug, Default)]
pub struct Cursor {
    group: u16,
    /// Of the group's rows; then its entries follow.
    row: u32,
    /// The last address that was looked at.
    entry: Option<Vec<u8>>,
}

impl MemoryState {
    pub(super) fn sweep_step(&mut self, expired: &Expired) {
        let all = self.groups.iter().map(|table| table.len()).sum::<usize>() + self.entries.count();
        if all == 0 {
            return;
        }
        let mut looks = (all / STEPS_OF_ROUND).clamp(LOOKS_MIN, LOOKS_MAX);
        // No group twice in a step.
        for _ in 0..self.groups.len() {
            looks -= self.sweep_rows(looks, expired);
            if looks == 0 {
                return;
            }
            let from = self.sweep.entry.as_deref();
            let (stopped, seen) = self.entries.sweep(KeyGroup(self.sweep.group), from, looks, expired);
            looks -= seen;
            self.sweep.entry = stopped;
            if self.sweep.entry.is_some() {
                return;
            }
            self.sweep.row = 0;
            self.sweep.group = (self.sweep.group + 1) % self.max_parallelism;
        }
    }

    /// The rows of the cursor's group; how many positions it looked at.
    fn sweep_rows(&mut self, looks: usize, expired: &Expired) -> usize {
        let group = usize::from(self.sweep.group);
        if expired.values.iter().all(Option::is_none) {
            self.sweep.row = self.groups[group].positions();
        }
        let end = self.groups[group].positions().min(self.sweep.row.saturating_add(looks as u32));
        let from = self.sweep.row.min(end);
        (from..end).for_each(|row| self.sweep_row(group, row, expired));
        self.sweep.row = end;
        (end - from) as usize
    }

    fn sweep_row(&mut self, group: usize, row: u32, expired: &Expired) {
        let Some((position, key, row)) = self.groups[group].at(row) else { return };
        let hash = KeyHash::of(key);
        let mut states: Vec<Values> = self.widths.iter().map(|width| Values::new(*width)).collect();
        decode_row(row, &self.widths, &mut states);
        let mut gone = false;
        for (index, values) in states.iter_mut().enumerate() {
            if values.get(0).is_some_and(|stored| expired.value(index, stored)) {
                values.present[0] = false;
                gone = true;
            }
        }
        if gone && self.encode_row(&states, 0) {
            self.groups[group].get_mut(position).clone_from(&self.row);
        } else if gone {
            self.groups[group].remove(hash, position);
        }
    }
}
