//! Running results of sliding windows: the two-stack queue over panes (as in Tangwongsan, Hirzel, Schneider, Wu:
//! "General Incremental Sliding-Window Aggregation", VLDB 2015), for all keys at once. A window is the older panes
//! merged with the newer ones; a pane that enters is merged into the newer result, one that leaves is undone from the
//! older one, which remembers for each of its panes what each key of the pane was without it and the panes before.
//! So each key of a pane is merged three times in all, however many windows it is part of, and memory is that of the
//! panes once more.

use std::ops::Range;

use super::aggregates::{Aggregates, Cells, Panes, Part, Table};

/// No row.
pub const NONE: u32 = u32::MAX;

pub struct Stacks {
    /// The first panes, merged; of these groups some are gone.
    pub older: Table,
    live: Vec<bool>,
    /// How to take the first pane away: the last one.
    undos: Vec<Undo>,
    /// The panes from `newer_from` on, merged.
    pub newer: Table,
    newer_from: i64,
    end: i64,
}

/// What the groups of a pane were before the pane and those before it came: absent if there was none.
struct Undo {
    pane: i64,
    rows: Vec<u32>,
    live: Vec<bool>,
    columns: Vec<Cells>,
}

/// A key of the window: its rows in both results, `NONE` where it is missing.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub older: u32,
    pub newer: u32,
}

impl Stacks {
    /// Of the panes of one window.
    pub fn build(panes: &Panes, range: Range<i64>, aggregates: &mut Aggregates) -> Self {
        let mut stacks = Self {
            older: aggregates.table(),
            live: Vec::new(),
            undos: Vec::new(),
            newer: aggregates.table(),
            newer_from: range.end,
            end: range.end,
        };
        for (number, pane) in panes.range(range).rev() {
            stacks.push_older(*number, pane, aggregates);
        }
        stacks
    }

    /// Whether a pane that changes changes the results.
    pub fn has_passed(&self, pane: i64) -> bool {
        pane < self.end
    }

    /// Goes on to the panes of a later window.
    pub fn advance(&mut self, panes: &Panes, range: Range<i64>, aggregates: &mut Aggregates) {
        if self.newer_from < range.start {
            *self = Self::build(panes, range, aggregates);
            return;
        }
        while let Some(undo) = self.undos.pop_if(|undo| undo.pane < range.start) {
            self.older.scatter(&undo.rows, undo.columns);
            undo.rows.iter().zip(undo.live).for_each(|(row, live)| self.live[*row as usize] = live);
        }
        for (_, pane) in panes.range(self.end..range.end) {
            self.push_newer(pane, aggregates);
        }
        self.end = range.end;
    }

    fn push_older(&mut self, number: i64, pane: &Table, aggregates: &mut Aggregates) {
        let rows = rows_of(&mut self.older, pane);
        self.live.resize(self.older.len(), false);
        let live = rows.iter().map(|row| std::mem::replace(&mut self.live[*row as usize], true)).collect();
        let columns = self.older.gather(aggregates.columns(), &rows);
        let all: Vec<u32> = (0..pane.len() as u32).collect();
        let merged = aggregates.merge(
            &[
                Part { columns: &pane.columns, from: &all, into: &all },
                Part { columns: &columns, from: &all, into: &all },
            ],
            pane.len(),
        );
        self.older.scatter(&rows, merged);
        self.undos.push(Undo { pane: number, rows, live, columns });
    }

    fn push_newer(&mut self, pane: &Table, aggregates: &mut Aggregates) {
        let rows = rows_of(&mut self.newer, pane);
        let all: Vec<u32> = (0..pane.len() as u32).collect();
        let merged = aggregates.merge(
            &[
                Part { columns: &self.newer.columns, from: &rows, into: &all },
                Part { columns: &pane.columns, from: &all, into: &all },
            ],
            pane.len(),
        );
        self.newer.scatter(&rows, merged);
    }

    /// The keys of the window.
    pub fn groups(&self) -> Vec<Group> {
        let mut unmatched = self.live.clone();
        let keys = self.newer.index.keys();
        let mut groups: Vec<Group> = (0..keys.len())
            .map(|newer| {
                let older = self.older.index.find(keys.get(newer), keys.hash(newer));
                let older = older.filter(|older| std::mem::replace(&mut unmatched[*older as usize], false));
                Group { older: older.unwrap_or(NONE), newer: newer as u32 }
            })
            .collect();
        let only_older = unmatched.iter().enumerate().filter(|(_, live)| **live);
        groups.extend(only_older.map(|(older, _)| Group { older: older as u32, newer: NONE }));
        groups
    }

    pub fn key(&self, group: Group) -> &[u8] {
        match group.newer {
            NONE => self.older.index.keys().get(group.older as usize),
            newer => self.newer.index.keys().get(newer as usize),
        }
    }
}

/// The rows of a pane's keys in a table, which gets those that it does not have.
fn rows_of(table: &mut Table, pane: &Table) -> Vec<u32> {
    let keys = pane.index.keys();
    let rows = (0..keys.len()).map(|i| table.index.find_or_insert(keys.get(i), keys.hash(i))).collect();
    table.fit();
    rows
}
