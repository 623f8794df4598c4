//! Sorting by encoded keys.

use crate::model::key_group::KeyGroup;

/// Sorts `items` by the groups of their keys, which are few, and those of a group by their keys.
pub fn sort_by_group_and_key<'k, T: Copy>(items: &mut [T], group: impl Fn(T) -> KeyGroup, key: impl Fn(T) -> &'k [u8]) {
    items.sort_unstable_by_key(|item| group(*item));
    for items in items.chunk_by_mut(|a, b| group(*a) == group(*b)) {
        sort_by_key(items, &key);
    }
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
        fn keys_are_sorted_as_bytes(mut keys in prop::collection::vec(prop::collection::vec(0u8..2, 0..14), 0..60)) {
            keys.iter_mut().for_each(|key| key.splice(0..0, [7, 7]).for_each(drop));
            let mut sorted: Vec<usize> = (0..keys.len()).collect();
            sort_by_key(&mut sorted, |i| keys[i].as_slice());
            prop_assert!(sorted.is_sorted_by_key(|i| &keys[*i]));

            let group = |i: usize| KeyGroup(keys[i].len() as u16 % 3);
            sort_by_group_and_key(&mut sorted, group, |i| keys[i].as_slice());
            prop_assert!(sorted.is_sorted_by_key(|i| (group(*i), &keys[*i])));
        }
    }
}
