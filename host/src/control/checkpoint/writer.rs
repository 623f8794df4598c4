//! Puts frozen state into files, beside the stream.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};

use crate::dataplane::snapshot::{MemberSnapshot, OperatorSnapshot, TaskSnapshot};
use crate::model::checkpoint::{Barrier, CheckpointId};
use crate::model::fault::Fault;
use crate::model::id::{Slot, Uid};
use crate::state::snapshot::{ChunkId, ChunkSink, NativeSnapshot};
use crate::storage::state_file::StateFileWriter;
use crate::storage::store::Store;
use crate::worker::slot::TaskId;

use super::driver::Notice;
use super::record::{Incarnation, MemberRecord, NativeFile, NativeState, StateFile, Written};

/// Threads that write: more only share the disk.
pub const WRITERS: usize = 2;

/// Writes the state of tasks. All of one slot go to the same writer.
pub struct Writer {
    store: Store,
    incarnation: Incarnation,
    lasting: BTreeMap<(Uid, Slot), Lasting>,
}

/// Files that a backend may have in its next snapshot too, by the checkpoint that they were written for.
type Lasting = BTreeMap<CheckpointId, BTreeMap<String, NativeFile>>;

impl Writer {
    pub fn new(store: Store, incarnation: Incarnation) -> Self {
        Self { store, incarnation, lasting: BTreeMap::new() }
    }

    /// Writes what comes until nobody is left who could send more.
    pub fn run(mut self, tasks: &Receiver<(TaskId, TaskSnapshot)>, notices: &Sender<Notice>) {
        for (task, snapshot) in tasks {
            if notices.send(self.write(task, snapshot)).is_err() {
                return;
            }
        }
    }

    /// Writes the state of a task's members.
    pub fn write(&mut self, task: TaskId, snapshot: TaskSnapshot) -> Notice {
        let barrier = snapshot.barrier;
        let members = snapshot.members.into_iter().map(|member| self.write_member(&barrier, task.slot, member));
        Notice::Written(task, barrier.checkpoint, members.collect())
    }

    fn write_member(&mut self, barrier: &Barrier, slot: Slot, member: MemberSnapshot) -> MemberRecord {
        let MemberSnapshot { uid, progress, state, splits } = member;
        let OperatorSnapshot { frozen, is_incremental, committables } = state;
        let lasting = self.lasting.entry((uid.clone(), slot)).or_default();
        // Only what belongs to a complete checkpoint is sure to stay, and the base is the newest one.
        lasting.retain(|checkpoint, _| barrier.base.is_some_and(|base| base <= *checkpoint));
        let key = format!("{}/{uid}.{}", self.incarnation.folder(barrier.checkpoint.0), slot.0);
        let known = barrier.base.and_then(|base| lasting.get(&base));
        let mut files =
            MemberFiles { store: &self.store, key, known, chunks: None, native: None, new: BTreeMap::new() };
        let written = frozen.into_iter().try_for_each(|frozen| frozen.write(&mut files));
        let (written, new) = match written {
            Ok(()) => files.finish(),
            Err(fault) => (Err(fault), BTreeMap::new()),
        };
        if written.is_ok() {
            lasting.insert(barrier.checkpoint, new);
        }
        let written = written.map_err(|fault| fault.at(&uid));
        MemberRecord { slot, progress, splits, committables, is_incremental, written, uid }
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
