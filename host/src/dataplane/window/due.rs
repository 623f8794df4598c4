//! The groups of a window that fires, in the order of their keys, so that what comes out does not depend on how the
//! rows came in.

use std::borrow::Cow;
use std::ops::Range;

use crate::dataplane::operator::Collector;
use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::KeyHash;
use crate::state::sorting::sort_by_key;

use super::aggregates::{Aggregates, Cells, Panes, Part, Table};
use super::firing::Firing;
use super::spill::Spill;
use super::stacks::{Group, NONE, Stacks};

/// Accumulators of some keys in a pane, or in what was spilled of it.
struct Found<'a> {
    columns: Cow<'a, [Cells]>,
    from: Vec<u32>,
    into: Vec<u32>,
}

/// Where results go.
pub struct Results<'a> {
    pub firing: &'a mut Firing,
    pub aggregates: &'a mut Aggregates,
    pub out: &'a mut Collector,
}

impl Results<'_> {
    /// A window that is one pane.
    pub fn pane(&mut self, pane: &Table, times: Range<i64>) -> Result<(), Fault> {
        let keys = pane.index.keys();
        let mut rows: Vec<u32> = (0..keys.len() as u32).collect();
        sort_by_key(&mut rows, |row| keys.get(row as usize));
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(self.firing.room().min(rest.len()));
            let part = Part { columns: &pane.columns, from: some, into: &numbers(some.len()) };
            self.add(some.iter().map(|row| keys.get(*row as usize)), &times, &[part])?;
            rest = others;
        }
        Ok(())
    }

    /// A window of several panes.
    pub fn stacks(&mut self, stacks: &Stacks, times: Range<i64>) -> Result<(), Fault> {
        let mut groups = stacks.groups();
        sort_by_key(&mut groups, |group| stacks.key(group));
        let mut rest = &groups[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(self.firing.room().min(rest.len()));
            let [older, newer] = [|group: &Group| group.older, |group: &Group| group.newer].map(|row| {
                let rows = some.iter().map(row).zip(0u32..).filter(|(row, _)| *row != NONE);
                rows.unzip::<u32, u32, Vec<u32>, Vec<u32>>()
            });
            let parts = [
                Part { columns: &stacks.older.columns, from: &older.0, into: &older.1 },
                Part { columns: &stacks.newer.columns, from: &newer.0, into: &newer.1 },
            ];
            self.add(some.iter().map(|group| stacks.key(*group)), &times, &parts)?;
            rest = others;
        }
        Ok(())
    }

    /// Some keys of a window, from its panes as they are. The keys are those of groups of its panes.
    pub fn changed(
        &mut self,
        panes: &Panes,
        mut spill: Option<&mut Spill>,
        range: Range<i64>,
        times: Range<i64>,
        changed: &[(i64, u32)],
    ) -> Result<(), Fault> {
        let mut keys: Vec<(&[u8], KeyHash)> = Vec::with_capacity(changed.len());
        for (pane, group) in changed {
            let pane = panes[pane].index.keys();
            keys.push((pane.get(*group as usize), pane.hash(*group as usize)));
        }
        sort_by_key(&mut keys, |(key, _)| key);
        keys.dedup_by_key(|(key, _)| *key);
        let mut rest = &keys[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(self.firing.room().min(rest.len()));
            let mut found: Vec<Found<'_>> = Vec::new();
            for (number, pane) in panes.range(range.clone()) {
                if let Some(spill) = spill.as_deref_mut().filter(|spill| spill.holds(*number)) {
                    let (columns, into) = spill.load(*number, &keys_of(some), self.aggregates.columns())?;
                    found.push(Found { columns: Cow::Owned(columns), from: numbers(into.len()), into });
                }
                let rows = some.iter().zip(0u32..);
                let rows = rows.filter_map(|((key, hash), into)| Some((pane.index.find(key, *hash)?, into)));
                let (from, into) = rows.unzip();
                found.push(Found { columns: Cow::Borrowed(&pane.columns), from, into });
            }
            let parts: Vec<Part<'_>> =
                found.iter().map(|Found { columns, from, into }| Part { columns, from, into }).collect();
            self.add(some.iter().map(|(key, _)| *key), &times, &parts)?;
            rest = others;
        }
        Ok(())
    }

    pub fn add<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]>,
        times: &Range<i64>,
        parts: &[Part<'_>],
    ) -> Result<(), Fault> {
        self.firing.add(keys, times.clone(), parts, self.aggregates, self.out)
    }

    pub fn flush(&mut self) -> Result<(), Fault> {
        self.firing.flush(self.aggregates, self.out)
    }
}

fn keys_of(of: &[(&[u8], KeyHash)]) -> Keys {
    let mut keys = Keys::default();
    of.iter().for_each(|(key, hash)| keys.push(key, *hash));
    keys
}

fn numbers(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}
