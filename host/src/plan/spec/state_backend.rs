//! `[state]`.

use std::path::Path;

use crate::plan::location::Location;
use crate::plan::state_backend::{RocksDbPlan, StateBackend};

use super::limits;
use super::reader::{Reader, nowhere};

#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Memory,
    RocksDb,
}

const BACKENDS: [(&str, Backend); 2] = [("memory", Backend::Memory), ("rocksdb", Backend::RocksDb)];

/// The working folder of the job `name` stands beside its `checkpoints`, so that files pass between them as links, or
/// else beside its file, in `folder`.
pub fn read(job: &mut Reader, folder: &Path, name: &str, checkpoints: Option<&Location>) -> StateBackend {
    let Some(mut fields) = job.table("state") else { return StateBackend::Memory };
    let backend = fields.choice("backend", &BACKENDS);
    if fields.has("backend") && backend.is_none() {
        // Which settings belong to it cannot be said.
        return StateBackend::Memory;
    }
    if backend.is_none_or(|backend| backend.value == Backend::Memory) {
        fields.finish(|name| {
            let names = ["path", "block_cache_bytes_max", "write_buffer_bytes_max", "cache_bytes_max"];
            names.contains(&name).then(|| "it belongs to the backend `rocksdb`".to_owned())
        });
        return StateBackend::Memory;
    }
    let beside = match checkpoints {
        Some(Location::Folder(checkpoints)) => checkpoints.parent().unwrap_or(folder),
        _ => folder,
    };
    let path = fields.text("path").map(|path| folder.join(path.value));
    let mut plan = RocksDbPlan::new(path.unwrap_or_else(|| beside.join(format!("{name}.state"))));
    limits::bytes(&mut fields, "block_cache_bytes_max", &mut plan.block_cache_bytes_max);
    limits::bytes(&mut fields, "write_buffer_bytes_max", &mut plan.write_buffer_bytes_max);
    limits::bytes(&mut fields, "cache_bytes_max", &mut plan.cache_bytes_max);
    fields.finish(nowhere);
    StateBackend::RocksDb(plan)
}
