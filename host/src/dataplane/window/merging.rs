//! A window with panes in the store on its way out: the groups of all of its panes, in memory and in the store, meet in
//! the order of their keys. Of what is in the store a page is read at a time, so that a window may be of any size.

use std::ops::Range;
use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::state::sorting::sort_by_key;

use super::aggregates::{Aggregates, Cells, Panes, Part, Table, read_group};
use super::due::Results;
use super::spill::Spill;

/// Of the pages of all sources of a window, about.
const PAGES_BYTES_MAX: usize = 8 << 20;
const PAGE_BYTES_MIN: usize = 512;

pub struct Merging {
    /// Start and end of the window.
    times: Range<i64>,
    /// In the order in which their groups are merged.
    sources: Vec<Source>,
    page_bytes: usize,
}

/// Groups in the order of their keys.
struct Source {
    groups: Groups,
    /// In the order of their keys.
    rows: Vec<u32>,
    /// The first that has not been taken.
    next: usize,
    /// Where there are more behind the last one.
    rest: Option<(i64, KeyGroup)>,
}

enum Groups {
    Pane(Arc<Table>),
    Page { keys: Keys, columns: Vec<Cells> },
}

/// A group: the numbers of its source and of its row there.
#[derive(Clone, Copy)]
struct Head {
    source: u32,
    row: u32,
}

impl Merging {
    /// Of the panes of one window, which do not change until it is out.
    pub fn new(panes: &Panes, range: Range<i64>, times: Range<i64>, spill: &Spill) -> Self {
        let mut sources = Vec::new();
        for (number, pane) in panes.range(range) {
            if spill.holds(*number) {
                sources.extend(spill.groups().map(|group| Source::of_store(*number, group)));
            }
            if pane.len() > 0 {
                sources.push(Source::of_memory(Arc::clone(pane)));
            }
        }
        let page_bytes = (PAGES_BYTES_MAX / sources.len().max(1)).max(PAGE_BYTES_MIN);
        Self { times, sources, page_bytes }
    }

    /// Gives out some more groups; `false` = there are none left.
    pub fn advance(&mut self, spill: &mut Spill, results: &mut Results<'_>) -> Result<bool, Fault> {
        for source in &mut self.sources {
            source.fill(spill, self.page_bytes, results.aggregates)?;
        }
        self.sources.retain(|source| source.next < source.rows.len());
        // Behind the last key of a page there may be others that come before those of other sources.
        let until = self.sources.iter().filter_map(Source::read_until).min().map(<[u8]>::to_vec);
        let mut heads: Vec<Head> = Vec::new();
        for (source, number) in self.sources.iter_mut().zip(0..) {
            heads.extend(source.take(until.as_deref()).iter().map(|row| Head { source: number, row: *row }));
        }
        sort_by_key(&mut heads, |head| self.sources[head.source as usize].key(head.row));
        let mut rest = &heads[..];
        while !rest.is_empty() {
            rest = self.add(rest, results)?;
        }
        Ok(!self.sources.is_empty())
    }

    /// Adds as many groups as the batch has room for; those that are left.
    fn add<'h>(&self, heads: &'h [Head], results: &mut Results<'_>) -> Result<&'h [Head], Fault> {
        let key = |head: &Head| self.sources[head.source as usize].key(head.row);
        let mut keys: Vec<&[u8]> = Vec::new();
        let mut taken: Vec<(Head, u32)> = Vec::new();
        for same in heads.chunk_by(|a, b| key(a) == key(b)).take(results.firing.room()) {
            taken.extend(same.iter().map(|head| (*head, keys.len() as u32)));
            keys.push(key(&same[0]));
        }
        let rest = &heads[taken.len()..];
        taken.sort_by_key(|(head, _)| head.source);
        let sources: Vec<(&Source, Vec<u32>, Vec<u32>)> = taken
            .chunk_by(|a, b| a.0.source == b.0.source)
            .map(|heads| {
                let (from, into) = heads.iter().map(|(head, into)| (head.row, *into)).unzip();
                (&self.sources[heads[0].0.source as usize], from, into)
            })
            .collect();
        let parts: Vec<Part<'_>> =
            sources.iter().map(|(source, from, into)| Part { columns: source.columns(), from, into }).collect();
        results.add(keys.into_iter(), &self.times, &parts)?;
        Ok(rest)
    }
}

impl Source {
    fn of_memory(pane: Arc<Table>) -> Self {
        let keys = pane.index.keys();
        let mut rows: Vec<u32> = (0..keys.len() as u32).collect();
        sort_by_key(&mut rows, |row| keys.get(row as usize));
        Self { groups: Groups::Pane(pane), rows, next: 0, rest: None }
    }

    fn of_store(pane: i64, group: KeyGroup) -> Self {
        let groups = Groups::Page { keys: Keys::default(), columns: Vec::new() };
        Self { groups, rows: Vec::new(), next: 0, rest: Some((pane, group)) }
    }

    /// Reads the next page where the last one has been taken.
    fn fill(&mut self, spill: &mut Spill, bytes_max: usize, aggregates: &Aggregates) -> Result<(), Fault> {
        let Some((pane, group)) = self.rest.filter(|_| self.next == self.rows.len()) else { return Ok(()) };
        let (mut keys, mut columns) = (Keys::default(), aggregates.columns());
        let after = self.rows.last().map(|last| self.key(*last));
        let is_last = spill.page(pane, group, after, bytes_max, |key, value| {
            // No result depends on the hash.
            keys.push(key, KeyHash(0));
            read_group(&mut columns, value)
        })?;
        if is_last {
            self.rest = None;
        }
        self.rows = (0..keys.len() as u32).collect();
        self.next = 0;
        self.groups = Groups::Page { keys, columns };
        Ok(())
    }

    fn key(&self, row: u32) -> &[u8] {
        match &self.groups {
            Groups::Pane(pane) => pane.index.keys().get(row as usize),
            Groups::Page { keys, .. } => keys.get(row as usize),
        }
    }

    fn columns(&self) -> &[Cells] {
        match &self.groups {
            Groups::Pane(pane) => &pane.columns,
            Groups::Page { columns, .. } => columns,
        }
    }

    /// The key up to which all groups have been read; `None` = all have.
    fn read_until(&self) -> Option<&[u8]> {
        self.rest.and(self.rows.last()).map(|last| self.key(*last))
    }

    /// Takes the groups up to and with a key: their rows.
    fn take(&mut self, until: Option<&[u8]>) -> &[u32] {
        let first = self.next;
        let is_taken = |row: &u32| until.is_none_or(|until| self.key(*row) <= until);
        self.next += self.rows[first..].partition_point(is_taken);
        &self.rows[first..self.next]
    }
}
