//! Removes what has expired, a little at a time, round and round: of the rows in the cache, and of what RocksDB has. It
//! asks for no compaction: what was removed goes with those that RocksDB makes anyway.

use std::ops::ControlFlow;

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::entries::state_of;
use crate::state::expiry::{Expired, looks_of_step};
use crate::state::snapshot::cut_short;

use super::backend::{RocksDbState, open_instance};
use super::layout::{self, Item};

/// Where the next step goes on.
#[derive(Debug, Default)]
pub struct Cursor {
    /// A place of the cache.
    place: usize,
    /// A key of RocksDB's: the first that was not looked at. Empty = a round begins.
    key: Vec<u8>,
}

/// What one step found in RocksDB.
#[derive(Default)]
struct Found {
    /// Keys of rows with something that has expired.
    rows: Keys,
    /// Groups and addresses.
    entries: Vec<(KeyGroup, Vec<u8>)>,
    /// `None` = the step came to the end.
    stopped: Option<Vec<u8>>,
}

impl RocksDbState {
    pub(super) fn sweep_step(&mut self, expired: &Expired) -> Result<(), Fault> {
        if expired.values.iter().any(Option::is_some) {
            self.sweep_cache(expired);
        }
        let found = self.find_expired(expired)?;
        self.sweep.key = found.stopped.unwrap_or_default();
        // Asked for again: one in the cache is newer, and may go to RocksDB where room is made.
        self.bring(&found.rows)?;
        for i in 0..found.rows.len() {
            self.remove_expired(self.positions[i], found.rows.hash(i), expired);
        }
        let instance = open_instance(&mut self.instance)?;
        for (group, address) in found.entries {
            instance.put_entry(group, &address, None)?;
        }
        instance.write()
    }

    fn sweep_cache(&mut self, expired: &Expired) {
        let places = self.cache.places();
        for _ in 0..looks_of_step(places).min(places) {
            self.sweep.place = if self.sweep.place + 1 < places { self.sweep.place + 1 } else { 0 };
            if let Some((position, key)) = self.cache.at(self.sweep.place) {
                let hash = KeyHash::of(key);
                self.remove_expired(position, hash, expired);
            }
        }
    }

    fn find_expired(&mut self, expired: &Expired) -> Result<Found, Fault> {
        let instance = open_instance(&mut self.instance)?;
        let mut looks = looks_of_step(instance.estimated_len());
        let start = match self.sweep.key.is_empty() {
            true => layout::group_start(self.groups.start).to_vec(),
            false => std::mem::take(&mut self.sweep.key),
        };
        let (rows_layout, entries) = (&self.layout, &self.entries);
        let mut found = Found::default();
        instance.items(start..layout::group_start(self.groups.end).to_vec(), |at, entry, value| {
            if looks == 0 {
                found.stopped = Some(at.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            looks -= 1;
            match entry {
                // Timers do not expire, and panes are a window's.
                Item::Counts(..) | Item::Timers(..) | Item::Due(..) | Item::Pane(..) => {}
                Item::Row(..) if !rows_layout.is_whole(value) => return Err(cut_short("a row")),
                Item::Row(_, key) => {
                    if rows_layout.without_expired(value, expired).is_some() {
                        found.rows.push(key, KeyHash::of(key));
                    }
                }
                Item::Entry(group, address) => {
                    entries.check(address, value)?;
                    if expired.entry(state_of(address), value) {
                        found.entries.push((group, address.to_vec()));
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}
