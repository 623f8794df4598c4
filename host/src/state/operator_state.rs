//! Operator state: lists of operators without a key, of which each slot has its own. When a job goes on, they are dealt
//! out anew, to as many slots as there are then.

use std::collections::BTreeMap;

use crate::model::fault::Fault;
use crate::model::id::{Parallelism, Slot};
use crate::model::key_group::KeyHash;

use super::entries::{address, place_of};
use super::snapshot::{self, ChunkId, ChunkSource, Content, NativeFiles, Take, cut_short};

/// Of a chunk, about.
const CHUNK_BYTES: usize = 64 << 10;

/// Who gets the elements that all slots had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redistribution {
    /// Each element goes to one slot, round robin.
    Split,
    /// Every slot gets all.
    Union,
}

/// A checkpoint of an operator without a key as a slot sees it: with the slot's part of the operator's lists, as entries of
/// the only key that there is, the empty one.
pub struct Redistributed<S> {
    /// What each slot has left, of all key groups.
    pub former: Vec<S>,
    /// For each state of the checkpoint; `None` = it is no operator state.
    pub states: Vec<Option<Redistribution>>,
    pub slot: Slot,
    pub parallelism: Parallelism,
    pub max_parallelism: u16,
}

impl<S: ChunkSource> Redistributed<S> {
    /// The entries of this slot, by address.
    fn deal(&mut self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Fault> {
        let mut all = vec![0; self.states.len()];
        let mut kept = vec![0; self.states.len()];
        let (mut ours, mut place) = (BTreeMap::new(), Vec::new());
        for former in &mut self.former {
            for (stored, value) in sorted(former)? {
                let state = stored.first_chunk().map(|state| usize::from(u16::from_be_bytes(*state)));
                let Some((state, redistribution)) = state.and_then(|state| Some((state, *self.states.get(state)?)))
                else {
                    return Err(cut_short("an entry's state"));
                };
                let Some(redistribution) = redistribution else {
                    ours.insert(stored, value);
                    continue;
                };
                let number: u64 = all[state];
                all[state] += 1;
                let is_ours = number % u64::from(self.parallelism.get()) == u64::from(self.slot.0);
                if redistribution == Redistribution::Union || is_ours {
                    address(state, &[], &place_of(kept[state]), &mut place);
                    kept[state] += 1;
                    ours.insert(place.clone(), value);
                }
            }
        }
        Ok(ours)
    }
}

/// The entries that one slot has left, by address: elements of a list in order.
fn sorted(former: &mut impl ChunkSource) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Fault> {
    let mut found = BTreeMap::new();
    former.read(Content::Entries, &mut |_, payload| {
        for entry in snapshot::entries(payload) {
            let (stored, value) = entry?;
            found.insert(stored.to_vec(), value.to_vec());
        }
        Ok(())
    })?;
    Ok(found)
}

impl<S: ChunkSource> ChunkSource for Redistributed<S> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        if content != Content::Entries {
            return self.former.iter_mut().try_for_each(|former| former.read(content, take));
        }
        let group = KeyHash::of(&[]).group(self.max_parallelism);
        let (mut payload, mut number) = (Vec::new(), 0);
        for (address, value) in self.deal()? {
            snapshot::put_entry(&mut payload, &address, &value);
            if payload.len() >= CHUNK_BYTES {
                take(ChunkId { group, content, number }, &payload)?;
                payload.clear();
                number += 1;
            }
        }
        if payload.is_empty() { Ok(()) } else { take(ChunkId { group, content, number }, &payload) }
    }

    fn native(&self) -> Vec<&dyn NativeFiles> {
        self.former.iter().flat_map(ChunkSource::native).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::snapshot::testing::Chunks;
    use super::super::snapshot::{ChunkSink, put_entry};
    use super::*;
    use crate::model::key_group::KeyGroup;

    const MAX_PARALLELISM: u16 = 16;

    /// What a slot leaves that has these elements in the split list (state 0) and those in the union list (state 1).
    fn left(split: &[u32], union: &[u32]) -> Chunks {
        let mut chunks = Chunks::default();
        for (state, elements) in [split, union].into_iter().enumerate() {
            let (mut payload, mut stored) = (Vec::new(), Vec::new());
            // Backwards: chunks and their entries come in any order.
            for (number, element) in elements.iter().enumerate().rev() {
                address(state, &[], &place_of(number as u64 * 3), &mut stored);
                put_entry(&mut payload, &stored, &element.to_le_bytes());
            }
            let id = ChunkId { group: KeyGroup(0), content: Content::Entries, number: 1 - state as u64 };
            chunks.put(id, elements.len() as u32, &payload).unwrap();
        }
        chunks
    }

    fn lists(slot: u16, parallelism: u16, former: &[(Vec<u32>, Vec<u32>)]) -> [Vec<u32>; 2] {
        let mut source = Redistributed {
            former: former.iter().map(|(split, union)| left(split, union)).collect(),
            states: vec![Some(Redistribution::Split), Some(Redistribution::Union)],
            slot: Slot(slot),
            parallelism: Parallelism::new(parallelism).unwrap(),
            max_parallelism: MAX_PARALLELISM,
        };
        let mut lists: [Vec<u32>; 2] = Default::default();
        source
            .read(Content::Entries, &mut |id, payload| {
                assert_eq!(id.group, KeyHash::of(&[]).group(MAX_PARALLELISM));
                for entry in snapshot::entries(payload) {
                    let (stored, value) = entry?;
                    let list = &mut lists[usize::from(stored[1])];
                    assert_eq!(stored[2..], place_of(list.len() as u64));
                    list.push(u32::from_le_bytes(value.try_into().unwrap()));
                }
                Ok(())
            })
            .unwrap();
        lists
    }

    proptest! {
        #[test]
        fn split_lists_are_dealt_evenly_and_union_lists_go_to_all(
            former in prop::collection::vec((prop::collection::vec(any::<u32>(), 0..20), prop::collection::vec(any::<u32>(), 0..5)), 0..5),
            parallelism in 1u16..6,
        ) {
            let split: Vec<u32> = former.iter().flat_map(|(split, _)| split.clone()).collect();
            let union: Vec<u32> = former.iter().flat_map(|(_, union)| union.clone()).collect();
            for slot in 0..parallelism {
                let [ours, all] = lists(slot, parallelism, &former);
                let dealt = split.iter().skip(slot.into()).step_by(parallelism.into());
                prop_assert!(ours.iter().eq(dealt));
                prop_assert_eq!(&all, &union);
            }
        }
    }
}
