//! Panes in checkpoints: a chunk for each pane and key group, whose entries are a key and its accumulators.

use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::Conversions;
use crate::state::snapshot::{ChunkId, ChunkSink, ChunkSource, Content, Frozen, cut_short, entries, put_entry};

use super::aggregates::{Aggregates, Panes, read_former_group, write_group};

/// The panes of an operator as they were at a barrier.
pub struct FrozenPanes {
    pub panes: Panes,
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
                    write_group(&pane.columns, *row, &mut value);
                    put_entry(&mut payload, keys.get(*row as usize), &value);
                }
                let id = ChunkId { group: rows[0].0, content: Content::Panes, number: number.cast_unsigned() };
                chunks.put(id, rows.len() as u32, &payload)?;
            }
        }
        Ok(())
    }
}

/// Puts the panes of a checkpoint whose window had the same aggregates, but for what `conversions` make today's, into
/// `panes`; `read` is called with each that has
/// got more rows, and how many.
pub fn restore(
    chunks: &mut dyn ChunkSource,
    aggregates: &mut Aggregates,
    panes: &mut Panes,
    conversions: &mut Conversions,
    mut read: impl FnMut(i64, usize, &mut Panes, &mut Aggregates) -> Result<(), Fault>,
) -> Result<(), Fault> {
    chunks.read(Content::Panes, &mut |id, payload| {
        let number = id.number.cast_signed();
        let pane = Arc::make_mut(panes.entry(number).or_insert_with(|| Arc::new(aggregates.table())));
        let before = pane.index.keys().len();
        for entry in entries(payload) {
            let (key, value) = entry?;
            let rows = pane.index.keys().len();
            if pane.index.find_or_insert(key, KeyHash::of(key)) as usize != rows {
                return Err(cut_short("a pane's accumulator"));
            }
            read_former_group(&mut pane.columns, value, conversions)?;
        }
        let rows = pane.index.keys().len() - before;
        read(number, rows, panes, aggregates)
    })
}
