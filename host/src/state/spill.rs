//! What an operator moves out of memory: entries of numbered tables. An entry belongs to the key group of its key, and
//! the entries of a table and group come back in the order of their keys.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};

use super::snapshot::{ChunkSource, Frozen};

/// What is done with the entry of a key: the number of the key among those that were asked for, and the value.
pub type TakeValue<'a> = dyn FnMut(usize, &[u8]) -> Result<(), Fault> + 'a;

/// What is done with an entry: its key and its value.
pub type TakeEntry<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Fault> + 'a;

pub trait SpillStore: Send {
    /// Those of the slot: all keys belong to one of them.
    fn groups(&self) -> Range<u16>;

    /// Puts an entry in place of the one that the key has in the table. It can be read after `write`.
    fn put(&mut self, table: i64, key: &[u8], hash: KeyHash, value: &[u8]) -> Result<(), Fault>;

    /// Hands over what was put.
    fn write(&mut self) -> Result<(), Fault>;

    /// Takes the entries that `keys` have in a table.
    fn get(&mut self, table: i64, keys: &Keys, take: &mut TakeValue<'_>) -> Result<(), Fault>;

    /// Takes the entries of a table and group behind the key `after`, until they are of `bytes_max` bytes or more; whether
    /// there are no more.
    fn page(
        &mut self,
        table: i64,
        group: KeyGroup,
        after: Option<&[u8]>,
        bytes_max: usize,
        take: &mut TakeEntry<'_>,
    ) -> Result<bool, Fault>;

    /// Nothing is asked of the tables before this one any more.
    fn forget_before(&mut self, table: i64);

    /// Whether snapshots are files of the store's own; otherwise they are chunks as the operator writes them, each with
    /// all that a table has of a group.
    fn is_native(&self) -> bool;

    /// The entries as they are now.
    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault>;

    /// Takes over what a checkpoint has in files of the store's own, before the first call of another kind; which tables
    /// they have entries of.
    fn restore(&mut self, chunks: &mut dyn ChunkSource) -> Result<BTreeSet<i64>, Fault>;
}
