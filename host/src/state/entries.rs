//! Entries of lists and maps: their addresses, and the memory backend, an ordered map for each key group.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::value::Values;

use super::expiry::{Expired, STAMP_BYTES};
use super::ordered::{self, OrderedMap};
use super::snapshot::{self, ChunkId, ChunkSink, ChunkSource, Content, Frozen, cut_short};
use super::{FormerState, StateLayout, Visit};

/// The number of the state (u16, big-endian), the key, the place: all entries of a state and key stand together, in the
/// order of their places. Keys are not prefixes of each other, since `model/key.rs` ends each of their columns.
pub fn address(state: usize, key: &[u8], place: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&(state as u16).to_be_bytes());
    into.extend_from_slice(key);
    into.extend_from_slice(place);
}

/// Where the element of a list with this number is: its key as `model/key.rs` encodes it.
pub fn place_of(number: u64) -> [u8; 9] {
    let mut place = [1; 9];
    place[1..].copy_from_slice(&number.to_be_bytes());
    place
}

/// The state of an address.
pub fn state_of(address: &[u8]) -> usize {
    usize::from(u16::from_be_bytes(*address.first_chunk().expect("an address begins with its state")))
}

/// Makes `address` that of an operator's entry which stood at `stored` in a checkpoint with the states `former`, and
/// returns its value of today; `None` = the operator has not got its state.
pub fn convert<'v>(
    stored: &[u8],
    value: &'v [u8],
    former: &mut [FormerState],
    address: &mut Vec<u8>,
) -> Result<Option<Cow<'v, [u8]>>, Fault> {
    let (state, rest) = stored.split_first_chunk().ok_or_else(|| cut_short("an address"))?;
    let former =
        former.get_mut(usize::from(u16::from_be_bytes(*state))).ok_or_else(|| cut_short("an entry's state"))?;
    let StateLayout::Entries { expires } = former.layout else { return Err(cut_short("an entry's state")) };
    if expires && value.len() < STAMP_BYTES {
        return Err(cut_short("the time of an entry"));
    }
    let Some(number) = former.number else { return Ok(None) };
    self::address(number, rest, &[], address);
    former.convert(value).map(Some)
}

/// The first byte string behind all that begin with `prefix`; `None` = there is none.
pub fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut behind = prefix[..=last].to_vec();
    behind[last] += 1;
    Some(behind)
}

pub struct EntryGroups {
    max_parallelism: u16,
    groups: Vec<OrderedMap>,
}

impl EntryGroups {
    pub fn new(max_parallelism: u16) -> Self {
        Self { max_parallelism, groups: (0..max_parallelism).map(|_| OrderedMap::default()).collect() }
    }

    fn group(&self, hash: KeyHash) -> &OrderedMap {
        &self.groups[hash.group(self.max_parallelism).0 as usize]
    }

    fn group_mut(&mut self, hash: KeyHash) -> &mut OrderedMap {
        &mut self.groups[hash.group(self.max_parallelism).0 as usize]
    }

    pub fn get(&self, addresses: &Keys, values: &mut Values) {
        for (i, address) in addresses.iter().enumerate() {
            values.push(self.group(addresses.hash(i)).get(address));
        }
    }

    pub fn put(&mut self, addresses: &Keys, values: &Values) {
        for (i, address) in addresses.iter().enumerate() {
            let group = self.group_mut(addresses.hash(i));
            match values.get(i) {
                Some(value) => group.insert(address, value),
                None => group.remove(address),
            }
        }
    }

    pub fn clear(&mut self, prefixes: &Keys) {
        for (i, prefix) in prefixes.iter().enumerate() {
            let group = self.group_mut(prefixes.hash(i));
            let behind = behind(prefix);
            let range = group.range(prefix_range(prefix, behind.as_deref()));
            let addresses: Vec<Arc<[u8]>> = range.map(|(address, _)| Arc::clone(address)).collect();
            for address in addresses {
                group.remove(&address);
            }
        }
    }

    pub fn scan(&self, hash: KeyHash, range: (Bound<&[u8]>, Bound<&[u8]>), visit: &mut Visit<'_>) {
        let mut entries = self.group(hash).range(range);
        let _ = entries.try_for_each(|(address, value)| visit(address, value));
    }

    pub fn last(&self, hash: KeyHash, prefix: &[u8]) -> Option<Vec<u8>> {
        self.group(hash).last_with(prefix, behind(prefix).as_deref()).map(<[u8]>::to_vec)
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.groups.iter().map(OrderedMap::len).sum()
    }

    /// Removes what has expired of the next entries of a group behind `from`, at most `limit` of them; where it stopped
    /// (`None` = at the group's end), and how many it looked at.
    pub fn sweep(
        &mut self,
        group: KeyGroup,
        from: Option<&[u8]>,
        limit: usize,
        expired: &Expired,
    ) -> (Option<Vec<u8>>, usize) {
        let group = &mut self.groups[group.0 as usize];
        let start = from.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut gone, mut last, mut seen) = (Vec::new(), None, 0);
        for (address, value) in group.range((start, Bound::Unbounded)).take(limit) {
            if expired.entry(state_of(address), value) {
                gone.push(Arc::clone(address));
            }
            last = Some(address);
            seen += 1;
        }
        let stopped = last.filter(|_| seen == limit).map(|address| address.to_vec());
        for address in gone {
            group.remove(&address);
        }
        (stopped, seen)
    }
}

impl EntryGroups {
    pub fn snapshot(&mut self, barrier: &Barrier) -> Box<dyn Frozen> {
        let groups = self.groups.iter_mut().zip(0..).map(|(map, group)| (KeyGroup(group), map.snapshot(barrier)));
        Box::new(FrozenEntries { groups: groups.filter(|(_, snapshot)| !snapshot.leaves.is_empty()).collect() })
    }

    /// `former` are the states of the checkpoint.
    pub fn restore(&mut self, chunks: &mut dyn ChunkSource, former: &mut [FormerState]) -> Result<(), Fault> {
        let mut address = Vec::new();
        chunks.read(Content::Entries, &mut |id, payload| {
            for entry in snapshot::entries(payload) {
                let (stored, value) = entry?;
                if let Some(value) = convert(stored, value, former, &mut address)? {
                    self.groups[id.group.0 as usize].insert(&address, &value);
                }
            }
            Ok(())
        })
    }
}

/// A leaf is a chunk.
struct FrozenEntries {
    groups: Vec<(KeyGroup, ordered::Snapshot)>,
}

impl Frozen for FrozenEntries {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        let mut payload = Vec::new();
        for (group, snapshot) in self.groups {
            for (number, leaf) in snapshot.leaves {
                payload.clear();
                let entries = leaf.as_ref().map_or(&[][..], |leaf| leaf.entries());
                entries.iter().for_each(|(address, value)| snapshot::put_entry(&mut payload, address, value));
                chunks.put(ChunkId { group, content: Content::Entries, number }, entries.len() as u32, &payload)?;
            }
        }
        Ok(())
    }
}

fn prefix_range<'a>(prefix: &'a [u8], behind: Option<&'a [u8]>) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(prefix), behind.map_or(Bound::Unbounded, Bound::Excluded))
}
