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
use crate::state::row::{Row, RowLayout};
use crate::state::snapshot::{ChunkSource, Frozen, cut_short};
use crate::state::table::Position;
use crate::state::{FormerState, KeyedState};

use super::cache::RowCache;
use super::instance::Instance;
use super::layout;
use super::linked_folder::LinkedFolder;
use super::options::Shared;
use super::restore;
use super::snapshot::FrozenInstance;
use super::working_folder::{WorkingFolder, beside};

/// Keys whose entries are brought near at once; see the memory backend.
const NEAR_KEYS: usize = 256;

/// RocksDB for one start of a job: its working folder, and what all instances share.
#[derive(Clone)]
pub struct RocksDb {
    pub(super) host: Arc<Host>,
}

pub(super) struct Host {
    pub shared: Shared,
    pub folder: WorkingFolder,
    cache_bytes_max: usize,
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

    /// What an operator may hold in memory in a slot.
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
            counts: vec![0; scope.max_parallelism.into()],
            layout: RowLayout::new(scope.widths),
            max_parallelism: scope.max_parallelism,
            groups: scope.groups,
            is_native: scope.is_native,
            instance: Some(instance),
            host: Arc::clone(&self.host),
            folder,
            positions: Vec::new(),
            guesses: Vec::new(),
            misses: Misses::default(),
            row: Row::new(),
        })
    }
}

/// What a slot holds of an operator's state.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The width of each state's values, where it is fixed.
    pub widths: Vec<Option<usize>>,
    pub groups: Range<u16>,
    pub max_parallelism: u16,
    pub is_native: bool,
}

pub struct RocksDbState {
    pub(super) cache: RowCache,
    /// Keys that have a value, by group.
    counts: Vec<u64>,
    layout: RowLayout,
    max_parallelism: u16,
    groups: Range<u16>,
    is_native: bool,
    /// Absent while it is restored.
    instance: Option<Instance>,
    folder: PathBuf,
    // What follows is of the last `load`, and reused.
    positions: Vec<Position>,
    guesses: Vec<Option<Position>>,
    misses: Misses,
    row: Row,
    /// The working folder goes last.
    host: Arc<Host>,
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

fn open_instance(instance: &mut Option<Instance>) -> Result<&mut Instance, Fault> {
    instance.as_mut().ok_or_else(|| Fault::internal("state was used that could not be restored"))
}

impl RocksDbState {
    /// Where the keys are in the cache; those that are not there are noted.
    fn find(&mut self, keys: &Keys) {
        self.positions.clear();
        self.misses.clear();
        for i in 0..keys.len() {
            if i % NEAR_KEYS == 0 {
                self.bring_near(&keys.hashes()[i..keys.len().min(i + NEAR_KEYS)]);
            }
            let (key, hash) = (keys.get(i), keys.hash(i));
            let position = self.cache.find(key, hash).unwrap_or_else(|| {
                self.misses.push(i, hash.group(self.max_parallelism), key);
                Position::default()
            });
            self.positions.push(position);
        }
    }

    fn bring_near(&mut self, hashes: &[KeyHash]) {
        self.guesses.clear();
        self.guesses.extend(hashes.iter().map(|hash| self.cache.guess(*hash)));
        let touched = self.guesses.iter().flatten().map(|position| self.cache.touch(*position));
        std::hint::black_box(touched.fold(0, std::ops::BitXor::bitxor));
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
}

impl KeyedState for RocksDbState {
    fn load(&mut self, keys: &Keys, states: &mut [Values]) -> Result<(), Fault> {
        self.make_room(keys.len())?;
        self.find(keys);
        self.fetch(keys)?;
        for position in &self.positions {
            self.layout.decode(self.cache.row(*position), states);
        }
        Ok(())
    }

    fn store(&mut self, keys: &Keys, states: &[Values]) -> Result<(), Fault> {
        debug_assert_eq!(keys.len(), self.positions.len());
        for (i, position) in self.positions.iter().enumerate() {
            self.layout.encode(states, i, &mut self.row);
            let old = self.cache.row(*position);
            if *old == self.row {
                continue;
            }
            let count = &mut self.counts[usize::from(keys.hash(i).group(self.max_parallelism).0)];
            match (old.is_empty(), self.row.is_empty()) {
                (true, false) => *count += 1,
                (false, true) => *count -= 1,
                _ => {}
            }
            self.cache.set(*position, &self.row);
        }
        Ok(())
    }

    fn live_keys(&self) -> usize {
        self.counts.iter().sum::<u64>() as usize
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

    fn restore(&mut self, chunks: &mut dyn ChunkSource, former: &[FormerState]) -> Result<(), Fault> {
        let transposition = self.layout.transposition(former);
        // Its folder is the one that files are fetched into.
        self.instance = None;
        let options = self.host.shared.options();
        let restored = restore::restore(chunks, &transposition, &self.groups, &self.folder, &options)?;
        self.counts.fill(0);
        for (group, keys) in restored.counts {
            self.counts[usize::from(group.0)] += keys;
        }
        self.instance = Some(restored.instance);
        Ok(())
    }
}
