//! From the hash of a key to the position of its entry: open addressing with linear probing, in which a slot holds all
//! that growing and most of what finding needs, so that neither touches an entry.

use prefetch_index::prefetch_index;

use crate::model::key_group::KeyHash;

/// Half of the hash in the upper bits, the position + 1 in the lower ones; 0 = empty.
type Slot = u64;

const SLOTS_MIN: usize = 8;

#[derive(Debug, Default)]
pub struct Index {
    /// A power of two of them, or none; at most three quarters are in use.
    slots: Vec<Slot>,
    len: usize,
}

/// The half of the hash that does not choose the key group, which all keys of a table share.
fn tag(hash: KeyHash) -> u32 {
    hash.0 as u32
}

fn slot(tag: u32, position: u32) -> Slot {
    u64::from(tag) << 32 | (u64::from(position) + 1)
}

fn tag_of(slot: Slot) -> u32 {
    (slot >> 32) as u32
}

fn position_of(slot: Slot) -> u32 {
    slot as u32 - 1
}

impl Index {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Asks for what `guess` reads, without waiting for it.
    #[inline]
    pub fn prefetch(&self, hash: KeyHash) {
        prefetch_index(&self.slots, tag(hash) as usize & self.slots.len().saturating_sub(1));
    }

    /// The position that this hash probably has: the first with the same tag.
    #[inline]
    pub fn guess(&self, hash: KeyHash) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The position with this hash that `is_key` says is the one.
    #[inline]
    pub fn find(&self, hash: KeyHash, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let (tag, mask) = (tag(hash), self.slots.len() - 1);
        let mut at = tag as usize & mask;
        loop {
            match self.slots[at] {
                0 => return None,
                found if tag_of(found) == tag && is_key(position_of(found)) => return Some(position_of(found)),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// The position must not be there.
    pub fn insert(&mut self, hash: KeyHash, position: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.place(slot(tag(hash), position));
        self.len += 1;
    }

    fn place(&mut self, new: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = tag_of(new) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = new;
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        old.into_iter().filter(|slot| *slot != 0).for_each(|slot| self.place(slot));
    }

    /// Moves what stands behind the gap forward, so that no probe ends in it (Knuth, vol. 3, 6.4, algorithm R).
    pub fn remove(&mut self, hash: KeyHash, position: u32) {
        let mask = self.slots.len() - 1;
        let wanted = slot(tag(hash), position);
        let mut gap = tag(hash) as usize & mask;
        while self.slots[gap] != wanted {
            gap = (gap + 1) & mask;
        }
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let moved = self.slots[at];
            if moved == 0 {
                break;
            }
            let home = tag_of(moved) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.slots[gap] = moved;
                gap = at;
            }
        }
        self.slots[gap] = 0;
        self.len -= 1;
    }
}
