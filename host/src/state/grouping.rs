//! The distinct keys of a batch: each row gets the number of its key.

use crate::model::key::Keys;

use super::key_index::KeyIndex;

/// Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Grouping {
    distinct: KeyIndex,
    row_groups: Vec<u32>,
    first_rows: Vec<u32>,
}

impl Grouping {
    /// Numbers the keys in the order in which they first come.
    pub fn group(&mut self, keys: &Keys) {
        self.distinct.clear();
        self.row_groups.clear();
        self.first_rows.clear();
        for row in 0..keys.len() {
            let group = self.distinct.find_or_insert(keys.get(row), keys.hash(row));
            if group as usize == self.first_rows.len() {
                self.first_rows.push(row as u32);
            }
            self.row_groups.push(group);
        }
    }

    /// For each row the number of its key.
    pub fn row_groups(&self) -> &[u32] {
        &self.row_groups
    }

    /// For each key the first row that has it.
    pub fn first_rows(&self) -> &[u32] {
        &self.first_rows
    }

    pub fn distinct(&self) -> &Keys {
        self.distinct.keys()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::key_group::KeyHash;

    proptest! {
        #[test]
        fn rows_share_a_group_exactly_when_they_share_a_key(rows in prop::collection::vec(0u8..20, 0..200)) {
            let mut keys = Keys::default();
            // Few hashes: keys with the same hash must stay apart.
            rows.iter().for_each(|key| keys.push(&[*key], KeyHash(u64::from(*key % 3))));
            let mut grouping = Grouping::default();
            grouping.group(&keys);
            for (row, group) in grouping.row_groups().iter().enumerate() {
                prop_assert_eq!(grouping.distinct().get(*group as usize), keys.get(row));
                prop_assert!(grouping.first_rows()[*group as usize] as usize <= row);
            }
            let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
            prop_assert_eq!(grouping.distinct().len(), distinct.len());
        }
    }
}
