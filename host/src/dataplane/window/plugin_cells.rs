//! What a plugin's aggregate remembers of groups: encoded values, which only the plugin understands.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::fault::Fault;
use crate::model::value::Values;
use crate::state::Conversion;

use super::durable::Durable;

/// Accumulators up to this long stand in their cell.
const INLINE_BYTES: usize = 24;

/// An accumulator for each group; an absent one is fresh.
#[derive(Clone, Debug)]
pub struct PluginCells {
    layout: Layout,
    /// Groups whose accumulators could not be merged, and why.
    failures: BTreeMap<u32, Arc<str>>,
}

#[derive(Clone, Debug)]
enum Layout {
    Fixed { width: usize, present: Vec<bool>, data: Vec<u8> },
    Variable(Vec<Option<SmallVec<[u8; INLINE_BYTES]>>>),
}

impl PluginCells {
    /// Of no groups; accumulators have this width, or any length.
    pub fn new(width: Option<usize>) -> Self {
        let layout = match width {
            Some(width) => Layout::Fixed { width, present: Vec::new(), data: Vec::new() },
            None => Layout::Variable(Vec::new()),
        };
        Self { layout, failures: BTreeMap::new() }
    }

    pub fn len(&self) -> usize {
        match &self.layout {
            Layout::Fixed { present, .. } => present.len(),
            Layout::Variable(cells) => cells.len(),
        }
    }

    /// What they take in memory, about.
    pub fn bytes(&self) -> usize {
        match &self.layout {
            Layout::Fixed { present, data, .. } => present.len() + data.len(),
            Layout::Variable(cells) => {
                let outside = cells.iter().flatten().filter(|cell| cell.spilled());
                size_of_val(&cells[..]) + outside.map(|cell| cell.len()).sum::<usize>()
            }
        }
    }

    pub fn resize(&mut self, groups: usize) {
        match &mut self.layout {
            Layout::Fixed { width, present, data } => {
                present.resize(groups, false);
                data.resize(groups * *width, 0);
            }
            Layout::Variable(cells) => cells.resize(groups, None),
        }
        self.failures.split_off(&(groups as u32));
    }

    pub fn get(&self, row: u32) -> Option<&[u8]> {
        let row = row as usize;
        match &self.layout {
            Layout::Fixed { width, present, data } => present[row].then(|| &data[row * width..][..*width]),
            Layout::Variable(cells) => cells[row].as_deref(),
        }
    }

    pub fn set(&mut self, row: u32, value: Option<&[u8]>) {
        if !self.failures.is_empty() {
            self.failures.remove(&row);
        }
        let row = row as usize;
        match &mut self.layout {
            Layout::Fixed { width, present, data } => {
                present[row] = value.is_some();
                if let Some(value) = value {
                    data[row * *width..][..*width].copy_from_slice(value);
                }
            }
            Layout::Variable(cells) => match (&mut cells[row], value) {
                (Some(cell), Some(value)) => {
                    cell.clear();
                    cell.extend_from_slice(value);
                }
                (cell, value) => *cell = value.map(SmallVec::from_slice),
            },
        }
    }

    pub fn is_fresh(&self, row: u32) -> bool {
        self.get(row).is_none() && self.failure(row).is_none()
    }

    pub fn failure(&self, row: u32) -> Option<&Arc<str>> {
        if self.failures.is_empty() { None } else { self.failures.get(&row) }
    }

    pub fn set_failure(&mut self, row: u32, reason: Arc<str>) {
        self.set(row, None);
        self.failures.insert(row, reason);
    }

    /// Appends the durable form of a cell: 0 = fresh, 1 and the accumulator, 2 and why it could not be merged.
    pub fn write(&self, row: u32, bytes: &mut Vec<u8>) {
        let (tag, content) = match (self.failure(row), self.get(row)) {
            (Some(reason), _) => (2, reason.as_bytes()),
            (None, Some(accumulator)) => (1, accumulator),
            (None, None) => (0, &[][..]),
        };
        bytes.push(tag);
        (content.len() as u32).write(bytes);
        bytes.extend_from_slice(content);
    }

    /// Appends a cell that is taken off the front of `bytes`; whether there was one. Its accumulator is made today's, if it
    /// is not.
    pub fn read(&mut self, bytes: &mut &[u8], conversion: Option<&mut Box<dyn Conversion>>) -> Result<bool, Fault> {
        let Some((tag, rest)) = bytes.split_first() else { return Ok(false) };
        *bytes = rest;
        let Some(mut content) = Box::<[u8]>::read(bytes) else { return Ok(false) };
        if let (1, Some(conversion)) = (tag, conversion) {
            content = conversion.convert(&content)?.into();
        }
        let row = self.len();
        self.resize(row + 1);
        match (tag, &self.layout) {
            (0, _) => {}
            (1, Layout::Fixed { width, .. }) if *width != content.len() => return Ok(false),
            (1, _) => self.set(row as u32, Some(&content)),
            (2, _) => self.set_failure(row as u32, String::from_utf8_lossy(&content).as_ref().into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Makes cell `row` what cell `from` of `source` is.
    pub fn copy(&mut self, row: u32, source: &Self, from: u32) {
        match source.failure(from) {
            Some(reason) => self.set_failure(row, Arc::clone(reason)),
            None => self.set(row, source.get(from)),
        }
    }

    /// Appends copies of cells of `source`.
    pub fn extend(&mut self, source: &Self, rows: &[u32]) {
        let first = self.len();
        self.resize(first + rows.len());
        rows.iter().enumerate().for_each(|(i, from)| self.copy((first + i) as u32, source, *from));
    }

    /// Makes cell `rows[i]` what cell `i` of `source` is.
    pub fn scatter(&mut self, rows: &[u32], source: &Self) {
        rows.iter().enumerate().for_each(|(i, row)| self.copy(*row, source, i as u32));
    }

    /// The same with what a call returned.
    pub fn store(&mut self, rows: &[u32], values: &Values) {
        rows.iter().enumerate().for_each(|(i, row)| self.set(*row, values.get(i)));
    }

    /// What a call takes.
    pub fn values(&self, rows: impl Iterator<Item = u32>) -> Values {
        let mut values = self.no_values();
        rows.for_each(|row| values.push(self.get(row)));
        values
    }

    pub fn no_values(&self) -> Values {
        match &self.layout {
            Layout::Fixed { width, .. } => Values::new(Some(*width)),
            Layout::Variable(_) => Values::new(None),
        }
    }
}
