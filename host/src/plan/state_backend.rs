//! Where operators keep their state. Checked settings; `spec::state_backend` reads them.

use std::path::PathBuf;

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateBackend {
    /// Hash tables: the fastest, as long as state fits into memory.
    Memory,
    RocksDb(RocksDbPlan),
}

/// State and timers larger than memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksDbPlan {
    /// A folder on a local disk for the time that the job runs: what lasts is in checkpoints.
    pub path: PathBuf,
    /// Blocks of files, with their indexes and filters; of the process.
    pub block_cache_bytes_max: usize,
    /// Writes that are not in files yet; of the process.
    pub write_buffer_bytes_max: usize,
    /// Rows that need no access to RocksDB, and wait there to be written, or panes of a window; of each operator and
    /// slot. The timers of a clock may take as much once more.
    pub cache_bytes_max: usize,
}

impl RocksDbPlan {
    pub fn new(path: PathBuf) -> Self {
        Self { path, block_cache_bytes_max: 256 << 20, write_buffer_bytes_max: 64 << 20, cache_bytes_max: 64 << 20 }
    }
}
