//! Panes in checkpoints: a chunk for each pane and key group, whose entries are a key and its accumulators.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::snapshot::{ChunkId, ChunkSink, ChunkSource, Content, Frozen, cut_short, entries, put_entry};

use super::aggregates::{Aggregates, Table};

/// The panes of an operator as they were at a barrier, by number.
pub struct FrozenPanes {
    pub panes: BTreeMap<i64, Arc<Table>>,
    pub max_parallelism: u16,
}

impl Frozen for FrozenPanes {
    fn write(self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        let (mut payload, mut value) = (Vec::new(), Vec::new());
        for (number, pane) in &self.panes {
            let keys = pane.index.keys();
            let group = |row: u32| keys.hash(row as usize).group(self.max_parallelism);
            let mut rows: Vec<(KeyGroup, u32)> = (0..keys.len() as u32).map(|row| (group(row), row)).collect();
            rows.sort_unstable();
            for rows in rows.chunk_by(|a, b| a.0 == b.0) {
                payload.clear();
                for (_, row) in rows {
                    value.clear();
                    pane.columns.iter().for_each(|cells| cells.write(*row, &mut value));
                    put_entry(&mut payload, keys.get(*row as usize), &value);
                }
                let id = ChunkId { group: rows[0].0, content: Content::Panes, number: number.cast_unsigned() };
                chunks.put(id, rows.len() as u32, &payload)?;
            }
        }
        Ok(())
    }
}

/// The panes of a checkpoint whose window had the same aggregates.
pub fn restore(chunks: &mut dyn ChunkSource, aggregates: &Aggregates) -> Result<BTreeMap<i64, Arc<Table>>, Fault> {
    let mut panes: BTreeMap<i64, Table> = BTreeMap::new();
    chunks.read(Content::Panes, &mut |id, payload| {
        let pane = panes.entry(id.number.cast_signed()).or_insert_with(|| aggregates.table());
        for entry in entries(payload) {
            let (key, mut value) = entry?;
            let row = pane.index.find_or_insert(key, KeyHash::of(key)) as usize;
            let is_new = row + 1 == pane.index.len();
            let is_read = is_new && pane.columns.iter_mut().all(|cells| cells.read(&mut value));
            if !is_read || !value.is_empty() {
                return Err(cut_short("a pane's accumulator"));
            }
        }
        Ok(())
    })?;
    Ok(panes.into_iter().map(|(number, pane)| (number, Arc::new(pane))).collect())
}
