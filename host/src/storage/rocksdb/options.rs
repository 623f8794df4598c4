//! How RocksDB is set up: for lookups of single keys, within the memory that the job gives it.

use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, DBCompressionType, DataBlockIndexType, LogLevel, Options,
    WriteBufferManager, WriteOptions,
};

use crate::plan::state_backend::RocksDbPlan;

/// Flushes and compactions at a time, of the process.
const BACKGROUND_JOBS_MAX: i32 = 2;
/// Of a filter: one lookup of a hundred for an absent key reads a block in vain.
const FILTER_BITS_PER_KEY: f64 = 10.0;
const BLOCK_BYTES: usize = 4 << 10;
const FILE_BYTES: u64 = 64 << 20;
const LEVEL_BASE_BYTES: u64 = 256 << 20;
/// Of the notes that RocksDB makes.
const LOG_BYTES_MAX: usize = 1 << 20;
/// Files are handed to the disk in pieces of this size, so that closing one does not wait for all of it.
const SYNC_BYTES: u64 = 1 << 20;

/// What the instances of a process share.
pub struct Shared {
    cache: Cache,
    buffers: WriteBufferManager,
    write_buffer_bytes: usize,
}

impl Shared {
    pub fn new(plan: &RocksDbPlan) -> Self {
        Self {
            cache: Cache::new_lru_cache(plan.block_cache_bytes_max),
            // A writer that waits for others' buffers might wait for ever: theirs are flushed when they write.
            buffers: WriteBufferManager::new_write_buffer_manager(plan.write_buffer_bytes_max, false),
            // Two of each instance, one being written to and one on its way to the disk, are half of all.
            write_buffer_bytes: (plan.write_buffer_bytes_max / 4).max(64 << 10),
        }
    }

    pub fn options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&self.tables());
        options.set_write_buffer_manager(&self.buffers);
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_max_write_buffer_number(2);
        options.set_memtable_prefix_bloom_ratio(0.05);
        options.set_memtable_whole_key_filtering(true);
        options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
        options.set_target_file_size_base(FILE_BYTES);
        options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES);
        // What is young is rewritten soon.
        let none = DBCompressionType::None;
        let lz4 = DBCompressionType::Lz4;
        options.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
        options.set_bytes_per_sync(SYNC_BYTES);
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_manifest_preallocation_size(64 << 10);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(LOG_BYTES_MAX);
        options.set_keep_log_file_num(1);
        options
    }

    /// Of an instance that is thrown away when it has been read.
    pub fn options_of_reader(&self) -> Options {
        let mut options = self.options();
        options.set_disable_auto_compactions(true);
        options
    }

    /// Indexes and filters are in the cache too, so that it bounds all of them.
    fn tables(&self) -> BlockBasedOptions {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&self.cache);
        tables.set_block_size(BLOCK_BYTES);
        tables.set_bloom_filter(FILTER_BITS_PER_KEY, false);
        tables.set_whole_key_filtering(true);
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_cache_index_and_filter_blocks_with_high_priority(true);
        tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
        tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        tables.set_optimize_filters_for_memory(true);
        tables.set_checksum_type(ChecksumType::XXH3);
        tables
    }
}

/// No log: what an instance holds lasts by checkpoints.
pub fn write_options() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options.set_memtable_insert_hint_per_batch(true);
    options
}
