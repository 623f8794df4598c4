//! Numbers the distinct keys of a pane: row numbers, dense, in the order in which keys first come.

use crate::model::bytes::is_equal;
use crate::model::key::Keys;
use crate::model::key_group::KeyHash;

/// Open addressing over rows; at most a third of the places is taken.
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

impl KeyIndex {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

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
    #[inline]
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

    #[inline]
    pub fn find_or_insert(&mut self, key: &[u8], hash: KeyHash) -> u32 {
        if self.keys.len() * 3 >= self.places.len() {
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

/// Sorts `items` by their keys. Most comparisons are of the eight bytes behind what all keys have in common.
pub fn sort_by_key<'k, T: Copy>(items: &mut [T], key: impl Fn(T) -> &'k [u8]) {
    let Some(first) = items.first().map(|item| key(*item)) else { return };
    let common = items.iter().fold(first.len(), |common, item| {
        let key = key(*item);
        (0..common.min(key.len())).find(|i| key[*i] != first[*i]).unwrap_or(common.min(key.len()))
    });
    let mut order: Vec<(u64, T)> = items.iter().map(|item| (eight_bytes(&key(*item)[common..]), *item)).collect();
    order.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then_with(|| key(*x).cmp(key(*y))));
    items.iter_mut().zip(order).for_each(|(item, (_, sorted))| *item = sorted);
}

fn eight_bytes(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(bytes)
        }
    }
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

        #[test]
        fn keys_are_sorted_as_bytes(mut keys in prop::collection::vec(prop::collection::vec(0u8..2, 0..14), 0..60)) {
            keys.iter_mut().for_each(|key| key.splice(0..0, [7, 7]).for_each(drop));
            let mut sorted: Vec<usize> = (0..keys.len()).collect();
            sort_by_key(&mut sorted, |i| keys[i].as_slice());
            prop_assert!(sorted.is_sorted_by_key(|i| &keys[*i]));
        }
    }
}
