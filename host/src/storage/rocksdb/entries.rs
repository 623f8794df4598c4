//! Entries of lists and maps, which stand in RocksDB alone: its write buffer has those that were written lately.

use std::ops::{Bound, ControlFlow, Range};

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::value::Values;
use crate::state::entries::behind;
use crate::state::expiry::STAMP_BYTES;
use crate::state::snapshot::cut_short;
use crate::state::{AddressRange, StateLayout, Visit};

use super::instance::Instance;
use super::layout::{self, Item};

/// The entries of an operator in a slot.
pub struct Entries {
    max_parallelism: u16,
    /// How many bytes each state's stored values have at least; `None` = it has no entries.
    bytes_min: Vec<Option<usize>>,
}

impl Entries {
    pub fn new(max_parallelism: u16, states: &[StateLayout]) -> Self {
        let bytes_min = states.iter().map(|state| match state {
            StateLayout::Entries { expires } => Some(if *expires { STAMP_BYTES } else { 0 }),
            StateLayout::Value { .. } => None,
        });
        Self { max_parallelism, bytes_min: bytes_min.collect() }
    }

    fn group(&self, hash: KeyHash) -> KeyGroup {
        hash.group(self.max_parallelism)
    }

    /// Refuses what cannot be a stored value at this address.
    pub fn check(&self, address: &[u8], value: &[u8]) -> Result<(), Fault> {
        let state = address.first_chunk().map(|state| usize::from(u16::from_be_bytes(*state)));
        let bytes_min = state.and_then(|state| self.bytes_min.get(state).copied().flatten());
        match bytes_min {
            Some(bytes_min) if value.len() >= bytes_min => Ok(()),
            _ => Err(cut_short("an entry")),
        }
    }

    pub fn get(&self, instance: &Instance, addresses: &Keys, values: &mut Values) -> Result<(), Fault> {
        let (mut keys, mut ends) = (Vec::new(), Vec::new());
        for (i, address) in addresses.iter().enumerate() {
            layout::put_entry_key(self.group(addresses.hash(i)), address, &mut keys);
            ends.push(keys.len());
        }
        let starts = std::iter::once(&0).chain(&ends);
        let keys = starts.zip(&ends).map(|(start, end)| &keys[*start..*end]);
        let mut asked = addresses.iter();
        instance.get_many(keys, |value| {
            let address = asked.next().unwrap_or_default();
            value.map_or(Ok(()), |value| self.check(address, value))?;
            values.push(value);
            Ok(())
        })
    }

    pub fn put(&self, instance: &mut Instance, addresses: &Keys, values: &Values) -> Result<(), Fault> {
        for (i, address) in addresses.iter().enumerate() {
            instance.put_entry(self.group(addresses.hash(i)), address, values.get(i))?;
        }
        instance.write()
    }

    /// One by one: a range that is deleted as a whole slows down all later reads beside it.
    pub fn clear(&self, instance: &mut Instance, prefixes: &Keys) -> Result<(), Fault> {
        let mut addresses = Vec::new();
        for (i, prefix) in prefixes.iter().enumerate() {
            let group = self.group(prefixes.hash(i));
            addresses.clear();
            instance.items(self.prefix_range(group, prefix), |_, entry, _| {
                if let Item::Entry(_, address) = entry {
                    addresses.push(address.to_vec());
                }
                Ok(ControlFlow::Continue(()))
            })?;
            for address in &addresses {
                instance.put_entry(group, address, None)?;
            }
        }
        instance.write()
    }

    pub fn scan(
        &self,
        instance: &Instance,
        hash: KeyHash,
        (from, to): AddressRange<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        let group = self.group(hash);
        // The first key at or behind an address, and the first behind it.
        let at = |address: &[u8], is_behind: bool| {
            let mut key = Vec::with_capacity(layout::PREFIX_BYTES + address.len() + 1);
            layout::put_entry_key(group, address, &mut key);
            if is_behind {
                key.push(0);
            }
            key
        };
        let start = match from {
            Bound::Unbounded => at(&[], false),
            Bound::Included(from) => at(from, false),
            Bound::Excluded(from) => at(from, true),
        };
        let end = match to {
            Bound::Unbounded => layout::entries_end(group).to_vec(),
            Bound::Included(to) => at(to, true),
            Bound::Excluded(to) => at(to, false),
        };
        instance.items(start..end, |_, entry, value| {
            let Item::Entry(_, address) = entry else { return Ok(ControlFlow::Continue(())) };
            self.check(address, value)?;
            Ok(visit(address, value))
        })
    }

    pub fn last(&self, instance: &Instance, hash: KeyHash, prefix: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let last = instance.last(self.prefix_range(self.group(hash), prefix))?;
        Ok(last.map(|key| key[layout::PREFIX_BYTES..].to_vec()))
    }

    fn prefix_range(&self, group: KeyGroup, prefix: &[u8]) -> Range<Vec<u8>> {
        let mut start = Vec::new();
        layout::put_entry_key(group, prefix, &mut start);
        let end = behind(&start).unwrap_or_default();
        start..end
    }
}
