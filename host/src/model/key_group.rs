//! Key groups: the unit in which keyed state is laid out and moved. A key belongs to the same group for ever.

use std::ops::Range;

use super::id::{Parallelism, Slot};

/// The key groups of a job are `0 .. max_parallelism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

/// XXH3-64 with seed 0 of an encoded key (`model/key.rs`). Pinned: durable state depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    #[inline]
    pub fn of(encoded: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(encoded))
    }

    /// The upper half of the hash chooses the group, so that tables may index by the lower half.
    #[inline]
    pub fn group(self, max_parallelism: u16) -> KeyGroup {
        KeyGroup((((self.0 >> 32) * u64::from(max_parallelism)) >> 32) as u16)
    }
}

impl KeyGroup {
    /// The slot that owns this group: ranges of groups, as even as they can be.
    #[inline]
    pub fn slot(self, parallelism: Parallelism, max_parallelism: u16) -> Slot {
        Slot((u32::from(self.0) * u32::from(parallelism.get()) / u32::from(max_parallelism)) as u16)
    }
}

/// The key groups that a slot owns.
pub fn groups_of(slot: Slot, parallelism: Parallelism, max_parallelism: u16) -> Range<u16> {
    let owner = |group: u16| KeyGroup(group).slot(parallelism, max_parallelism);
    let start = (0..max_parallelism).take_while(|group| owner(*group) < slot).count() as u16;
    let end = (start..max_parallelism).take_while(|group| owner(*group) == slot).count() as u16;
    start..start + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(KeyHash::of(b"").0, 0x2d06_8005_38d3_94c2);
        assert_eq!(KeyHash::of(b"\x01ad0001\x00").group(128), KeyGroup(GROUP_OF_AD0001));
    }

    const GROUP_OF_AD0001: u16 = 97;

    #[test]
    fn slots_own_ranges_of_groups_that_differ_by_at_most_one() {
        for slots in 1..=9 {
            let parallelism = Parallelism::new(slots).unwrap();
            let owners: Vec<Slot> = (0..128).map(|g| KeyGroup(g).slot(parallelism, 128)).collect();
            assert!(owners.is_sorted());
            let ranges: Vec<_> = parallelism.slots().map(|slot| groups_of(slot, parallelism, 128)).collect();
            assert!(
                ranges.iter().zip(0..).all(|(range, slot)| range.clone().all(|g| owners[usize::from(g)] == Slot(slot)))
            );
            assert_eq!(ranges.iter().map(|range| range.len()).sum::<usize>(), 128);
            let counts: Vec<usize> =
                parallelism.slots().map(|slot| owners.iter().filter(|owner| **owner == slot).count()).collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }
}
