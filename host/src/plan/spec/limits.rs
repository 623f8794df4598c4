//! `[limits]` and `[limits.plugin]`.

use crate::plan::graph::{Limits, PluginLimits};

use super::reader::{Reader, nowhere};

/// What is not written keeps its default.
pub fn read(job: &mut Reader) -> Limits {
    let mut limits = Limits::default();
    let Some(mut fields) = job.table("limits") else { return limits };
    if let Some(rows) = fields.integer("batch_rows_max", 1, u64::from(u32::MAX)) {
        limits.batch_rows_max = rows.value as usize;
    }
    bytes(&mut fields, "batch_bytes_max", &mut limits.batch_bytes_max);
    bytes(&mut fields, "channel_bytes_max", &mut limits.channel_bytes_max);
    if let Some(interval) = fields.length("flush_interval") {
        limits.flush_interval = interval.value;
    }
    if let Some(table) = fields.table("plugin") {
        read_plugin(table, &mut limits.plugin);
    }
    fields.finish(|name| (name == "dead_letter_fraction_max").then(|| "write `dead_letter_limit` above it".to_owned()));
    limits
}

fn read_plugin(mut fields: Reader, limits: &mut PluginLimits) {
    if let Some(time) = fields.length("cpu_per_call") {
        limits.cpu_per_call = time.value;
    }
    bytes(&mut fields, "memory_bytes_max", &mut limits.memory_bytes_max);
    bytes(&mut fields, "output_bytes_max", &mut limits.output_bytes_max);
    bytes(&mut fields, "state_value_bytes_max", &mut limits.state_value_bytes_max);
    bytes(&mut fields, "state_read_bytes_max", &mut limits.state_read_bytes_max);
    if let Some(entries) = fields.integer("state_read_entries_max", 1, u64::from(u32::MAX)) {
        limits.state_read_entries_max = entries.value as usize;
    }
    bytes(&mut fields, "state_write_bytes_max", &mut limits.state_write_bytes_max);
    bytes(&mut fields, "broadcast_state_bytes_max", &mut limits.broadcast_state_bytes_max);
    bytes(&mut fields, "key_bytes_max", &mut limits.key_bytes_max);
    if let Some(timers) = fields.integer("timers_per_key_max", 0, u64::MAX) {
        limits.timers_per_key_max = timers.value as usize;
    }
    if let Some(lines) = fields.integer("log_lines_per_second_max", 0, u64::from(u32::MAX)) {
        limits.log_lines_per_second_max = lines.value as u32;
    }
    if let Some(trusted) = fields.boolean("trusted") {
        limits.trusted = trusted;
    }
    fields.finish(nowhere);
}

pub fn bytes(fields: &mut Reader, name: &'static str, limit: &mut usize) {
    if let Some(size) = fields.bytes(name) {
        *limit = usize::try_from(size.value).unwrap_or(usize::MAX);
    }
}
