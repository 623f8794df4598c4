//! What one read of lists and maps returns.

use std::ops::ControlFlow;

use arrow_array::ArrayRef;

use crate::model::value::Values;
use crate::plan::graph::PluginLimits;

/// Whatever the job's limit: offsets of a column have 31 bits.
const BYTES_MAX: usize = 1 << 30;

/// Entries of groups, in the order in which these were asked for.
pub struct Page {
    /// For each group, how many it has here, and whether it may have more.
    pub counts: Vec<u32>,
    pub more: Vec<bool>,
    pub keys: ArrayRef,
    pub values: Values,
}

/// A page in the making.
pub struct Gathered {
    entries_max: usize,
    bytes_max: usize,
    pub counts: Vec<u32>,
    more: Vec<bool>,
    pub places: Vec<Vec<u8>>,
    pub values: Values,
    bytes: usize,
    // Of the group at hand.
    group_max: usize,
    prefix_bytes: usize,
    count: u32,
    has_more: bool,
}

impl Gathered {
    pub fn new(width: Option<usize>, limits: &PluginLimits) -> Self {
        Self {
            entries_max: limits.state_read_entries_max,
            bytes_max: limits.state_read_bytes_max.min(BYTES_MAX),
            counts: Vec::new(),
            more: Vec::new(),
            places: Vec::new(),
            values: Values::new(width),
            bytes: 0,
            group_max: 0,
            prefix_bytes: 0,
            count: 0,
            has_more: false,
        }
    }

    pub fn start_group(&mut self, entries_max: usize, prefix_bytes: usize) {
        (self.group_max, self.prefix_bytes) = (entries_max.max(1), prefix_bytes);
        (self.count, self.has_more) = (0, false);
    }

    pub fn finish_group(&mut self) {
        self.counts.push(self.count);
        self.more.push(self.has_more);
    }

    /// `keys` are those at its places.
    pub fn finish(self, keys: ArrayRef) -> Page {
        Page { counts: self.counts, more: self.more, keys, values: self.values }
    }

    /// Breaks off when the page or the group's part of it is full.
    pub fn add(&mut self, address: &[u8], value: Option<&[u8]>) -> ControlFlow<()> {
        let Some(value) = value else { return ControlFlow::Continue(()) };
        if self.has_more {
            return ControlFlow::Break(());
        }
        let place = &address[self.prefix_bytes..];
        let bytes = place.len() + value.len();
        let page_is_full =
            !self.places.is_empty() && (self.places.len() >= self.entries_max || self.bytes + bytes > self.bytes_max);
        if page_is_full || self.count as usize >= self.group_max {
            self.has_more = true;
            return ControlFlow::Break(());
        }
        self.places.push(place.to_vec());
        self.values.push(Some(value));
        self.bytes += bytes;
        self.count += 1;
        ControlFlow::Continue(())
    }
}
