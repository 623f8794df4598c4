//! Brings entries near before they are used. With many keys an entry is far away: several misses of the cache, each of
//! which waits for the one before. Asked for in steps, each for many keys, what a step reads is under way for all of them
//! at once (Chen, Ailamaki, Gibbons and Mowry: "Improving Hash Join Performance through Prefetching", 2004).

use prefetch_index::prefetch_index;

use crate::model::key_group::KeyHash;

use super::{Position, Table, split};

/// Keys of a step: no more than the first cache and its table of pages hold the entries of.
pub const NEAR_KEYS: usize = 64;

/// Brings near what finding keys with these hashes reads, each in its table. `guesses` is room for where they probably are.
pub fn bring_near<'t, V: Clone + Default + 't>(
    table_of: impl Fn(KeyHash) -> &'t Table<V>,
    hashes: &[KeyHash],
    guesses: &mut Vec<Option<Position>>,
) {
    hashes.iter().for_each(|hash| table_of(*hash).index.prefetch(*hash));
    guesses.clear();
    guesses.extend(hashes.iter().map(|hash| table_of(*hash).index.guess(*hash).map(Position)));
    let places = || hashes.iter().zip(&*guesses).filter_map(|(hash, guess)| Some((table_of(*hash), (*guess)?)));
    places().for_each(|(table, position)| table.prefetch_page(position));
    bring_entries_near(places());
}

/// The same for keys of which it is known where they are.
pub fn bring_entries_near<'t, V: Clone + Default + 't>(places: impl Iterator<Item = (&'t Table<V>, Position)>) {
    places.for_each(|(table, position)| table.prefetch_entry(position));
}

impl<V: Clone + Default> Table<V> {
    #[inline]
    fn prefetch_page(&self, position: Position) {
        prefetch_index(&self.pages, split(position.0).0);
    }

    #[inline]
    fn prefetch_entry(&self, position: Position) {
        let (page, slot) = split(position.0);
        prefetch_index(&self.pages[page].page().entries, slot);
    }
}
