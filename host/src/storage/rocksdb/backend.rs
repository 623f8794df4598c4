//! The state of an operator in a slot: rows in the cache, and behind it in an instance.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::checkpoint::Barrier;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::value::Values;
use crate::plan::state_backend::RocksDbPlan;
use crate::state::expiry::Expired;
use crate::state::row::{self, Row, RowLayout};
use crate::state::snapshot::{ChunkId, ChunkSource, Content, Frozen, NativeFiles, cut_short};
use crate::state::table::{NEAR_KEYS, Position};
use crate::state::timers::store::TimerStore;
use crate::state::{AddressRange, FormerState, KeyedState, StateLayout, Visit};

use super::cache::RowCache;
use super::entries::Entries;
use super::instance::Instance;
use super::layout::{self, Counts, Item};
use super::linked_folder::LinkedFolder;
use super::options::Shared;
use super::restore::{self, Takeover};
use super::snapshot::FrozenInstance;
use super::sweep;
use super::working_folder::{WorkingFolder, beside};

/// Is shown a key of a row or the address of an entry, and the row or the value.
pub type TakeEntry<'t> = dyn FnMut(ChunkId, &[u8], &[u8]) -> Result<(), Fault> + 't;

/// RocksDB for one start of a job: its working folder, and what all instances share.
#[derive(Clone)]
pub struct RocksDb {
    pub(super) host: Arc<Host>,
}

pub(super) struct Host {
    pub shared: Shared,
    pub folder: WorkingFolder,
    pub cache_bytes_max: usize,
}

impl Host {
    /// Where an operator has its instance in a slot.
    pub fn folder_of(&self, uid: &Uid, slot: Slot) -> PathBuf {
        self.folder.path().join(format!("{uid}.{}", slot.0))
    }
}

impl RocksDb {
    pub fn start(plan: &RocksDbPlan) -> Result<Self, Fault> {
        let (shared, folder) = (Shared::new(plan), WorkingFolder::create(&plan.path)?);
        Ok(Self { host: Arc::new(Host { shared, folder, cache_bytes_max: plan.cache_bytes_max }) })
    }

    /// Shows `take` what a slot left in a checkpoint of `groups`, in order of keys. Nothing is changed.
    pub fn read(&self, files: &dyn NativeFiles, groups: &Range<u16>, take: &mut TakeEntry<'_>) -> Result<(), Fault> {
        let folder = self.host.folder.path().join("reading");
        restore::open_former(files, &folder, &self.host.shared.options())?.scan(groups, |entry, value| match entry {
            // By key they come too.
            Item::Counts(..) | Item::Due(..) => Ok(()),
            Item::Row(group, key) => take(ChunkId { group, content: Content::Rows, number: 0 }, key, value),
            Item::Timers(group, content, key) => take(ChunkId { group, content, number: 0 }, key, value),
            Item::Entry(group, address) => {
                take(ChunkId { group, content: Content::Entries, number: 0 }, address, value)
            }
            Item::Pane(group, table, key) => {
                take(ChunkId { group, content: Content::Panes, number: table.cast_unsigned() }, key, value)
            }
        })
    }

    /// What an operator may hold of its state in memory in a slot.
    pub fn cache_bytes_max(&self) -> usize {
        self.host.cache_bytes_max
    }

    /// The empty state of an operator in a slot, which owns the key groups `groups` of `max_parallelism`. `is_native` =
    /// checkpoints take over RocksDB's files, of which those are new that the last one has not got; otherwise they are
    /// in the form that every backend reads.
    pub fn open(&self, uid: &Uid, slot: Slot, scope: Scope) -> Result<RocksDbState, Fault> {
        let folder = self.host.folder_of(uid, slot);
        let instance = Instance::open(&folder, &self.host.shared.options())?;
        Ok(RocksDbState {
            cache: RowCache::new(self.host.cache_bytes_max, scope.max_parallelism),
            counts: vec![Counts::default(); scope.max_parallelism.into()],
            layout: RowLayout::new(scope.states.iter().copied()),
            entries: Entries::new(scope.max_parallelism, &scope.states),
            sweep: sweep::Cursor::default(),
            max_parallelism: scope.max_parallelism,
            groups: scope.groups,
            is_native: scope.is_native,
            instance: Some(instance),
            host: Arc::clone(&self.host),
            folder,
            positions: Vec::new(),
            guesses: Vec::new(),
            misses: Misses::default(),
            timer_key: Vec::new(),
        })
    }
}

/// What a slot holds of an operator's state.
#[derive(Clone, Debug)]
pub struct Scope {
    pub states: Vec<StateLayout>,
    pub groups: Range<u16>,
    pub max_parallelism: u16,
    pub is_native: bool,
}

pub struct RocksDbState {
    pub(super) cache: RowCache,
    /// By group.
    pub(super) counts: Vec<Counts>,
    pub(super) layout: RowLayout,
    pub(super) entries: Entries,
    pub(super) sweep: sweep::Cursor,
    pub(super) max_parallelism: u16,
    pub(super) groups: Range<u16>,
    is_native: bool,
    /// Absent while it is restored.
    pub(super) instance: Option<Instance>,
    folder: PathBuf,
    // What follows is of the last `load`, and reused.
    pub(super) positions: Vec<Position>,
    guesses: Vec<Option<Position>>,
    misses: Misses,
    /// Reused.
    pub(super) timer_key: Vec<u8>,
    /// The working folder goes last.
    pub(super) host: Arc<Host>,
}

/// The keys of a batch that are not in the cache.
#[derive(Default)]
struct Misses {
    /// Their numbers in the batch.
    keys: Vec<usize>,
    /// As RocksDB has them, one after the other, and where each ends.
    encoded: Vec<u8>,
    ends: Vec<usize>,
}

impl Misses {
    fn clear(&mut self) {
        self.keys.clear();
        self.encoded.clear();
        self.ends.clear();
    }

    fn push(&mut self, i: usize, group: KeyGroup, key: &[u8]) {
        self.keys.push(i);
        layout::put_row_key(group, key, &mut self.encoded);
        self.ends.push(self.encoded.len());
    }

    fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.encoded[*start..*end])
    }
}

pub(super) fn open_instance(instance: &mut Option<Instance>) -> Result<&mut Instance, Fault> {
    instance.as_mut().ok_or_else(|| Fault::internal("state was used that could not be restored"))
}

impl RocksDbState {
    /// Where the keys are in the cache; those that are not there are noted.
    fn find(&mut self, keys: &Keys) {
        self.positions.clear();
        self.misses.clear();
        for i in 0..keys.len() {
            if i % NEAR_KEYS == 0 {
                self.cache.bring_near(&keys.hashes()[i..keys.len().min(i + NEAR_KEYS)], &mut self.guesses);
            }
            let (key, hash) = (keys.get(i), keys.hash(i));
            let position = self.cache.find(key, hash).unwrap_or_else(|| {
                self.misses.push(i, hash.group(self.max_parallelism), key);
                Position::default()
            });
            self.positions.push(position);
        }
    }

    /// Brings the keys that are not in the cache there.
    fn fetch(&mut self, keys: &Keys) -> Result<(), Fault> {
        if self.misses.keys.is_empty() {
            return Ok(());
        }
        let instance = open_instance(&mut self.instance)?;
        let mut missing = self.misses.keys.iter();
        instance.get_many(self.misses.encoded(), |row| {
            let i = *missing.next().expect("a value for each key");
            if row.is_some_and(|row| !self.layout.is_whole(row)) {
                return Err(cut_short("a row"));
            }
            let row = Row::from_slice(row.unwrap_or_default());
            self.positions[i] = self.cache.insert(keys.get(i), keys.hash(i), row);
            Ok(())
        })
    }

    /// What the cache must forget for `keys` more goes to RocksDB.
    fn make_room(&mut self, keys: usize) -> Result<(), Fault> {
        let instance = open_instance(&mut self.instance)?;
        self.cache.make_room(keys, |group, key, row| instance.put_row(group, key, row))?;
        instance.write()
    }

    /// Makes `positions` those of the keys, which are distinct, in the cache.
    pub(super) fn bring(&mut self, keys: &Keys) -> Result<(), Fault> {
        self.make_room(keys.len())?;
        self.find(keys);
        self.fetch(keys)
    }

    /// A key in the cache, whose hash this is, has a row or none.
    fn count(&mut self, position: Position, hash: KeyHash, has_row: bool) {
        let count = &mut self.counts[usize::from(hash.group(self.max_parallelism).0)].keys;
        match (!self.cache.row(position).is_empty(), has_row) {
            (false, true) => *count += 1,
            (true, false) => *count -= 1,
            _ => {}
        }
    }

    /// Takes from a row in the cache what has expired.
    pub(super) fn remove_expired(&mut self, position: Position, hash: KeyHash, expired: &Expired) {
        if let Some(rest) = self.layout.without_expired(self.cache.row(position), expired) {
            self.count(position, hash, !rest.is_empty());
            self.cache.change(position, |row| *row = rest);
        }
    }
}

impl KeyedState for RocksDbState {
    fn load(&mut self, keys: &Keys, states: &mut [Values]) -> Result<(), Fault> {
        self.bring(keys)?;
        for position in &self.positions {
            self.layout.decode(self.cache.row(*position), states);
        }
        Ok(())
    }

    fn store(&mut self, keys: &Keys, states: &[Values]) -> Result<(), Fault> {
        debug_assert_eq!(keys.len(), self.positions.len());
        for i in 0..self.positions.len() {
            if i % NEAR_KEYS == 0 {
                self.cache.bring_entries_near(&self.positions[i..self.positions.len().min(i + NEAR_KEYS)]);
            }
            let position = self.positions[i];
            if !self.layout.is_row(states, i, self.cache.row(position)) {
                self.count(position, keys.hash(i), row::has_values(states, i));
                self.cache.change(position, |row| self.layout.encode(states, i, row));
            }
        }
        Ok(())
    }

    fn get_entries(&mut self, addresses: &Keys, values: &mut Values) -> Result<(), Fault> {
        self.entries.get(open_instance(&mut self.instance)?, addresses, values)
    }

    fn put_entries(&mut self, addresses: &Keys, values: &Values) -> Result<(), Fault> {
        self.entries.put(open_instance(&mut self.instance)?, addresses, values)
    }

    fn clear_entries(&mut self, prefixes: &Keys) -> Result<(), Fault> {
        self.entries.clear(open_instance(&mut self.instance)?, prefixes)
    }

    fn scan_entries(&mut self, hash: KeyHash, range: AddressRange<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.entries.scan(open_instance(&mut self.instance)?, hash, range, visit)
    }

    fn last_entry(&mut self, hash: KeyHash, prefix: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.entries.last(open_instance(&mut self.instance)?, hash, prefix)
    }

    fn sweep(&mut self, expired: &Expired) -> Result<(), Fault> {
        self.sweep_step(expired)
    }

    fn live_keys(&self) -> usize {
        self.counts.iter().map(|counts| counts.keys).sum::<u64>() as usize
    }

    fn timers(&mut self) -> Option<&mut dyn TimerStore> {
        Some(self)
    }

    /// The stream waits for what RocksDB has in its write buffer to be written to a file; the rest is done by `write`.
    fn snapshot(&mut self, barrier: &Barrier) -> Result<Box<dyn Frozen>, Fault> {
        let instance = open_instance(&mut self.instance)?;
        let folder = beside(&self.folder, &format!("checkpoint-{}", barrier.checkpoint));
        instance.checkpoint(&folder)?;
        let counts = self.groups.clone().map(|group| (KeyGroup(group), self.counts[usize::from(group)])).collect();
        Ok(Box::new(FrozenInstance {
            dirty: self.cache.dirty(),
            counts,
            groups: self.groups.clone(),
            max_parallelism: self.max_parallelism,
            is_native: self.is_native,
            folder: LinkedFolder { path: folder },
            host: Arc::clone(&self.host),
        }))
    }

    fn restore(&mut self, chunks: &mut dyn ChunkSource, former: &mut [FormerState]) -> Result<(), Fault> {
        let mut takeover = Takeover { rows: self.layout.transposition(former), states: former };
        // Its folder is the one that files are fetched into.
        self.instance = None;
        let options = self.host.shared.options();
        let restored = restore::restore(chunks, &mut takeover, &self.groups, &self.folder, &options)?;
        self.counts.fill(Counts::default());
        for (group, counts) in restored.counts {
            self.counts[usize::from(group.0)].add(counts);
        }
        self.instance = Some(restored.instance);
        Ok(())
    }
}
