//! Puts frozen state into files, beside the stream.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};

use crate::dataplane::snapshot::{MemberSnapshot, OperatorSnapshot, TaskSnapshot};
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::state::snapshot::{ChunkId, ChunkSink, NativeSnapshot};
use crate::storage::state_file::StateFileWriter;
use crate::store::Store;
use crate::worker::slot::TaskId;

use super::driver::{Notice, panicked};
use super::record::{MemberRecord, NativeFile, NativeState, Place, StateFile, Written};

/// Threads that write: more only share the disk.
pub const WRITERS: usize = 2;

/// Writes the state of tasks. All of one slot go to the same writer.
#[derive(Default)]
pub struct Writer {
    lasting: BTreeMap<(Uid, Slot), Lasting>,
}

/// Files that a backend may have in its next snapshot too, by the checkpoint that they were written for.
type Lasting = BTreeMap<CheckpointId, BTreeMap<String, NativeFile>>;

impl Writer {
    /// Writes what comes until nobody is left who could send more.
    pub fn run(mut self, tasks: &Receiver<(TaskId, TaskSnapshot, Place)>, notices: &Sender<Notice>) {
        for (task, snapshot, place) in tasks {
            let written = catch_unwind(AssertUnwindSafe(|| self.write(task, snapshot, &place)));
            let notice =
                written.unwrap_or_else(|panic| Notice::Failed(panicked("writing a checkpoint", panic.as_ref())));
            if notices.send(notice).is_err() {
                return;
            }
        }
    }

    /// Writes the state of a task's members into a place of its own.
    pub fn write(&mut self, task: TaskId, snapshot: TaskSnapshot, place: &Place) -> Notice {
        let barrier = snapshot.barrier;
        let members = snapshot.members.into_iter().map(|member| self.write_member(&barrier, task.slot, member, place));
        Notice::Written(task, barrier.checkpoint, members.collect())
    }

    fn write_member(&mut self, barrier: &Barrier, slot: Slot, member: MemberSnapshot, place: &Place) -> MemberRecord {
        let MemberSnapshot { uid, progress, state, splits, in_flight } = member;
        let OperatorSnapshot { frozen, is_incremental, committables, ahead } = state;
        let lasting = self.lasting.entry((uid.clone(), slot)).or_default();
        // Only what belongs to a complete checkpoint is sure to stay, and the base is the newest one.
        lasting.retain(|checkpoint, _| barrier.base.is_some_and(|base| base <= *checkpoint));
        let key = format!("{}/{uid}.{}", place.state_folder, slot.0);
        let known = barrier.base.and_then(|base| lasting.get(&base));
        let mut files =
            MemberFiles { store: &place.store, key, known, chunks: None, native: None, new: BTreeMap::new() };
        let written = frozen.into_iter().try_for_each(|frozen| frozen.write(&mut files));
        let (written, new) = match written {
            Ok(()) => files.finish(),
            Err(fault) => (Err(fault), BTreeMap::new()),
        };
        if written.is_ok() {
            lasting.insert(barrier.checkpoint, new);
        }
        let written = written.map_err(|fault| fault.at(&uid));
        MemberRecord { slot, progress, ahead, splits, in_flight, committables, is_incremental, written, uid }
    }
}

/// What a member's state goes into.
struct MemberFiles<'a> {
    store: &'a Store,
    /// What the keys of its files begin with.
    key: String,
    /// Lasting files that the base has, by their names.
    known: Option<&'a BTreeMap<String, NativeFile>>,
    /// There when the first chunk is.
    chunks: Option<StateFileWriter>,
    native: Option<NativeState>,
    /// The lasting ones of `native`.
    new: BTreeMap<String, NativeFile>,
}

impl MemberFiles<'_> {
    fn finish(self) -> (Result<Written, Fault>, BTreeMap<String, NativeFile>) {
        let key = format!("{}.state", self.key);
        let file = self.chunks.map(|chunks| Ok(StateFile { bytes: chunks.finish()?, key })).transpose();
        if file.as_ref().is_ok_and(Option::is_some) || self.native.is_some() {
            fail_point::reach("upload.middle");
        }
        (file.map(|file| Written { file, native: self.native }), self.new)
    }

    fn put_file(&self, snapshot: &NativeSnapshot<'_>, name: &str) -> Result<NativeFile, Fault> {
        let is_lasting = snapshot.lasting.contains(name);
        if let Some(known) = self.known.and_then(|known| known.get(name)).filter(|_| is_lasting) {
            return Ok(known.clone());
        }
        let key = format!("{}.{name}", self.key);
        let put = self.store.put_file(&key, &snapshot.folder.join(name), snapshot.form.never_changes(name))?;
        Ok(NativeFile { file: StateFile { key, bytes: put.bytes }, checksum: put.checksum })
    }
}

impl ChunkSink for MemberFiles<'_> {
    fn put(&mut self, id: ChunkId, entries: u32, payload: &[u8]) -> Result<(), Fault> {
        let chunks = match &mut self.chunks {
            Some(chunks) => chunks,
            none => none.insert(StateFileWriter::create(self.store, &format!("{}.state", self.key))?),
        };
        chunks.put(id, entries, payload)
    }

    fn put_files(&mut self, snapshot: &NativeSnapshot<'_>) -> Result<(), Fault> {
        let files = snapshot.files.iter().map(|name| Ok((name.clone(), self.put_file(snapshot, name)?)));
        let files = files.collect::<Result<BTreeMap<_, _>, Fault>>()?;
        self.new = files
            .iter()
            .filter(|(name, _)| snapshot.lasting.contains(*name))
            .map(|(name, file)| (name.clone(), file.clone()))
            .collect();
        self.native = Some(NativeState { form: snapshot.form, groups: snapshot.groups.clone(), files });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataplane::snapshot::Watermarks;
    use crate::model::key::Keys;
    use crate::model::key_group::KeyHash;
    use crate::model::time::Timestamp;
    use crate::model::value::Values;
    use crate::plan::location::Location;
    use crate::plan::state_backend::RocksDbPlan;
    use crate::state::{KeyedState, StateLayout};
    use crate::storage::rocksdb::{RocksDb, Scope};

    /// Gives these keys a value.
    fn put(state: &mut dyn KeyedState, numbers: std::ops::Range<u32>) {
        let mut keys = Keys::default();
        numbers.for_each(|number| keys.push(&number.to_be_bytes(), KeyHash::of(&number.to_be_bytes())));
        let mut states = [Values::new(Some(4))];
        state.load(&keys, &mut states).unwrap();
        states[0].clear();
        (0..keys.len()).for_each(|_| states[0].push(Some(&[1; 4])));
        state.store(&keys, &states).unwrap();
    }

    /// The keys of what the checkpoint consists of.
    fn checkpoint(
        writer: &mut Writer,
        store: &Store,
        state: &mut dyn KeyedState,
        checkpoint: u64,
        base: Option<u64>,
    ) -> BTreeSet<String> {
        let barrier = Barrier {
            checkpoint: CheckpointId(checkpoint),
            base: base.map(CheckpointId),
            overtakes_at: None,
            stops: false,
        };
        let frozen = vec![state.snapshot(&barrier).unwrap()];
        let state = OperatorSnapshot { frozen, is_incremental: base.is_some(), ..OperatorSnapshot::default() };
        let progress = Watermarks { input: Timestamp::MIN, latest: None };
        let members = vec![MemberSnapshot { uid: Uid::from("op"), progress, state, splits: Vec::new(), in_flight: 0 }];
        let task = TaskId { slot: Slot(0), task: 0 };
        let place = Place::own(store.clone(), format!("checkpoints/1-{checkpoint}"));
        let written = writer.write(task, TaskSnapshot { barrier, members }, &place);
        let Notice::Written(_, _, members) = written else { panic!() };
        let written = members[0].written.as_ref().unwrap();
        let files: BTreeSet<String> = written.files().map(|file| file.key.clone()).collect();
        for file in written.files() {
            assert_eq!(store.bytes_of(&file.key).unwrap(), file.bytes);
        }
        files
    }

    fn tables(files: &BTreeSet<String>) -> BTreeSet<String> {
        files.iter().filter(|key| key.ends_with(".sst")).cloned().collect()
    }

    #[test]
    fn a_checkpoint_has_the_files_that_its_base_has_and_only_those() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().join("store"))).unwrap();
        let mut plan = RocksDbPlan::new(folder.path().join("state"));
        plan.cache_bytes_max = 1 << 10;
        let rocksdb = RocksDb::start(&plan).unwrap();
        let states = vec![StateLayout::Value { width: Some(4), expires: false }];
        let scope = Scope { states, groups: 0..8, max_parallelism: 8, is_native: true };
        let mut state = rocksdb.open(&Uid::from("op"), Slot(0), scope).unwrap();
        let mut writer = Writer::default();
        put(&mut state, 0..100);
        put(&mut state, 100..200);
        let first = checkpoint(&mut writer, &store, &mut state, 1, None);
        put(&mut state, 200..210);
        let second = checkpoint(&mut writer, &store, &mut state, 2, Some(1));
        put(&mut state, 210..220);
        // The second did not become complete.
        let third = checkpoint(&mut writer, &store, &mut state, 3, Some(1));
        let whole = checkpoint(&mut writer, &store, &mut state, 4, None);
        let shared = |files: &BTreeSet<String>, with: &BTreeSet<String>| tables(files).intersection(with).count();
        // What stood in the cache alone is in a file that no other checkpoint has.
        assert_eq!((tables(&first).len(), shared(&second, &first)), (2, 1));
        assert_eq!((shared(&third, &first), shared(&third, &second)), (1, 1), "{first:?} {second:?} {third:?}");
        assert_eq!((shared(&whole, &first), shared(&whole, &second), shared(&whole, &third)), (0, 0, 0));
        assert!(second.iter().any(|key| key.contains("MANIFEST")), "{second:?}");
    }
}
