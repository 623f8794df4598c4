//! Puts frozen state into files, beside the stream.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};

use crate::dataplane::snapshot::{MemberSnapshot, TaskSnapshot};
use crate::model::checkpoint::Incarnation;
use crate::model::fail_point;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::state::snapshot::{ChunkId, ChunkSink, Frozen};
use crate::storage::state_file::StateFileWriter;
use crate::store::Store;
use crate::worker::slot::TaskId;

use super::driver::{Notice, panicked};
use super::record::{MemberRecord, StateFile};

/// Threads that write: more only share the disk.
pub const WRITERS: usize = 2;

/// Writes what comes until nobody is left who could send more.
pub fn run(
    store: &Store,
    incarnation: Incarnation,
    tasks: &Receiver<(TaskId, TaskSnapshot)>,
    notices: &Sender<Notice>,
) {
    for (task, snapshot) in tasks {
        let written = catch_unwind(AssertUnwindSafe(|| write(store, incarnation, task, snapshot)));
        let notice = written.unwrap_or_else(|panic| Notice::Failed(panicked("writing a checkpoint", panic.as_ref())));
        if notices.send(notice).is_err() {
            return;
        }
    }
}

/// Writes the state of a task's members.
pub fn write(store: &Store, incarnation: Incarnation, task: TaskId, snapshot: TaskSnapshot) -> Notice {
    let checkpoint = snapshot.barrier.checkpoint;
    let folder = incarnation.folder(checkpoint.0);
    let members = snapshot.members.into_iter().map(|member| write_member(store, &folder, task.slot, member));
    Notice::Written(task, checkpoint, members.collect())
}

fn write_member(store: &Store, folder: &str, slot: Slot, member: MemberSnapshot) -> MemberRecord {
    let key = format!("{folder}/{}.{}.state", member.uid, slot.0);
    MemberRecord {
        slot,
        progress: member.progress,
        splits: member.splits,
        committables: member.state.committables,
        is_incremental: member.state.is_incremental,
        file: write_file(store, key, member.state.frozen).map_err(|fault| fault.at(&member.uid)),
        uid: member.uid,
    }
}

fn write_file(store: &Store, key: String, frozen: Vec<Box<dyn Frozen>>) -> Result<Option<StateFile>, Fault> {
    let mut file = LazyFile { store, key: &key, writer: None };
    frozen.into_iter().try_for_each(|frozen| frozen.write(&mut file))?;
    match file.writer {
        None => Ok(None),
        Some(writer) => {
            let bytes = writer.finish()?;
            fail_point::reach("upload.middle");
            Ok(Some(StateFile { bytes, key }))
        }
    }
}

/// A file that is there when the first chunk is.
struct LazyFile<'a> {
    store: &'a Store,
    key: &'a str,
    writer: Option<StateFileWriter>,
}

impl ChunkSink for LazyFile<'_> {
    fn put(&mut self, id: ChunkId, entries: u32, payload: &[u8]) -> Result<(), Fault> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(StateFileWriter::create(self.store, self.key)?),
        };
        writer.put(id, entries, payload)
    }
}
