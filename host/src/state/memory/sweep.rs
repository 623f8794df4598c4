//! Removes what has expired, a little at a time, round and round.

use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::expiry::{Expired, looks_of_step};

use super::MemoryState;

/// Where the next step goes on.
#[derive(Debug, Default)]
pub struct Cursor {
    group: u16,
    /// Of the group's rows; then its entries follow.
    row: usize,
    /// The last address that was looked at.
    entry: Option<Vec<u8>>,
}

impl MemoryState {
    pub(super) fn sweep_step(&mut self, expired: &Expired) {
        let all = self.groups.iter().map(|table| table.len()).sum::<usize>() + self.entries.count();
        if all == 0 {
            return;
        }
        let mut looks = looks_of_step(all);
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
            self.sweep.row = self.groups[group].places();
        }
        let end = self.groups[group].places().min(self.sweep.row.saturating_add(looks));
        let from = self.sweep.row.min(end);
        (from..end).for_each(|row| self.sweep_row(group, row, expired));
        self.sweep.row = end;
        end - from
    }

    fn sweep_row(&mut self, group: usize, row: usize, expired: &Expired) {
        let Some((position, key, row)) = self.groups[group].at(row) else { return };
        let hash = KeyHash::of(key);
        match self.layout.without_expired(row, expired) {
            None => {}
            Some(rest) if rest.is_empty() => self.groups[group].remove(hash, position),
            Some(rest) => *self.groups[group].get_mut(position) = rest,
        }
    }
}
