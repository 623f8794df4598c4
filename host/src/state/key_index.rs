//! Numbers distinct keys, those of a batch or of a pane: row numbers, dense, in the order in which keys first come.

use crate::model::bytes::is_equal;
use crate::model::key::Keys;
use crate::model::key_group::KeyHash;

/// Open addressing over rows; at most half of the places are taken.
#[derive(Clone, Debug, Default)]
pub struct KeyIndex {
    keys: Keys,
    places: Vec<Place>,
}

/// The upper half of a key's hash stands beside its row, so that a look at another key is rare.
#[derive(Clone, Copy, Debug)]
struct Place {
    tag: u32,
    row: u32,
}

const FREE: Place = Place { tag: 0, row: u32::MAX };
const PLACES_MIN: usize = 16;
/// 64 KiB of them.
const NEAR_PLACES: usize = 8 << 10;

impl KeyIndex {
    /// The key of each row.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let of_key = size_of::<KeyHash>() + size_of::<u32>();
        self.keys.bytes() + self.keys.len() * of_key + size_of_val(&self.places[..])
    }

    pub fn find(&self, key: &[u8], hash: KeyHash) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        self.probe(key, hash).ok()
    }

    /// The row of the key, or the place where it belongs.
    #[inline(always)]
    fn probe(&self, key: &[u8], hash: KeyHash) -> Result<u32, usize> {
        let mask = self.places.len() - 1;
        let tag = tag(hash);
        let mut at = hash.0 as usize & mask;
        loop {
            let place = self.places[at];
            if place.tag == tag && place.row != FREE.row && is_equal(self.keys.get(place.row as usize), key) {
                return Ok(place.row);
            }
            if place.row == FREE.row {
                return Err(at);
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(always)]
    pub fn find_or_insert(&mut self, key: &[u8], hash: KeyHash) -> u32 {
        if (self.keys.len() + 1) * 2 > self.places.len() {
            self.rebuild((self.places.len() * 2).max(PLACES_MIN));
        }
        match self.probe(key, hash) {
            Ok(row) => row,
            Err(at) => {
                let row = self.keys.len() as u32;
                self.keys.push(key, hash);
                self.places[at] = Place { tag: tag(hash), row };
                row
            }
        }
    }

    /// Forgets all keys, and has room for as many again; ample room as long as that is near, so that few of them meet.
    pub fn clear(&mut self) {
        let near = (self.keys.len() * 8).min(NEAR_PLACES);
        let places = (self.keys.len() * 2).max(near).next_power_of_two().max(PLACES_MIN);
        self.keys.clear();
        self.places.clear();
        self.places.resize(places, FREE);
    }

    /// Forgets the keys that came after the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        if rows < self.keys.len() {
            self.keys.truncate(rows);
            self.rebuild(self.places.len());
        }
    }

    fn rebuild(&mut self, places: usize) {
        self.places.clear();
        self.places.resize(places, FREE);
        let mask = places - 1;
        for (row, hash) in self.keys.hashes().iter().enumerate() {
            let mut at = hash.0 as usize & mask;
            while self.places[at].row != FREE.row {
                at = (at + 1) & mask;
            }
            self.places[at] = Place { tag: tag(*hash), row: row as u32 };
        }
    }
}

#[inline]
fn tag(hash: KeyHash) -> u32 {
    (hash.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_keeps_its_row(keys in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..300), cut in 0..40usize) {
            let mut index = KeyIndex::default();
            let mut model: Vec<Vec<u8>> = Vec::new();
            // Few hashes: keys with the same hash must stay apart.
            let hash = |key: &[u8]| KeyHash(key.len() as u64 * 0x1_0000_0001);
            for (i, key) in keys.iter().enumerate() {
                prop_assert_eq!(index.find(key, hash(key)).is_some(), model.contains(key));
                let row = index.find_or_insert(key, hash(key)) as usize;
                if row == model.len() {
                    model.push(key.clone());
                }
                prop_assert_eq!(&model[row], key);
                if i % 50 == 49 {
                    index.truncate(cut);
                    model.truncate(cut);
                }
            }
            prop_assert!(index.keys().iter().eq(model.iter().map(Vec::as_slice)));
        }
    }
}
