//! What lists and maps have in common: undo of a row, and reading ahead for the whole call.

use std::any::Any;

/// Groups of which a read takes the first entries along, and how many of each: most maps and lists are small, so one
/// call of the host then serves the whole batch.
pub(super) const AHEAD_GROUPS: usize = 1_024;
pub(super) const AHEAD_ENTRIES: u32 = 32;

/// Entries that are asked for at once when one group's are read on; the host may give fewer.
pub(super) const PAGE_ENTRIES: u32 = 4_096;

/// Answers about broadcast state, of more entries than a read ahead takes, that stay known from call to call.
pub(super) const KEPT_ENTRIES_MAX: usize = 65_536;

/// After a read ahead most of whose groups had more entries than it took, so many calls do without.
pub(super) const CALLS_WITHOUT_AHEAD: u32 = 63;

/// The entries of one state, for all groups of a call.
pub(in crate::process) trait AnyEntries {
    fn start(&mut self, groups: usize);
    /// Makes them what they were before this row.
    fn undo_row(&mut self, row: u32);
    /// Sends what was written to the host.
    fn finish(&mut self);
    fn as_any(&mut self) -> &mut dyn Any;
    /// The state's number, and the width of its values.
    #[cfg(not(target_arch = "wasm32"))]
    fn width(&self) -> (u32, Option<usize>);
}

/// What the row at hand has changed, to be undone from the last to the first.
pub(super) struct Journal<C> {
    row: Option<u32>,
    changes: Vec<C>,
}

impl<C> Default for Journal<C> {
    fn default() -> Self {
        Self { row: None, changes: Vec::new() }
    }
}

impl<C> Journal<C> {
    pub(super) fn clear(&mut self) {
        self.row = None;
        self.changes.clear();
    }

    pub(super) fn push(&mut self, row: u32, change: C) {
        if self.row != Some(row) {
            self.row = Some(row);
            self.changes.clear();
        }
        self.changes.push(change);
    }

    /// The changes of this row, the last first.
    pub(super) fn take(&mut self, row: u32) -> impl Iterator<Item = C> + use<C> {
        let changes = if self.row == Some(row) { std::mem::take(&mut self.changes) } else { Vec::new() };
        self.row = None;
        changes.into_iter().rev()
    }
}

/// Whether to read ahead, as far as the calls before have taught.
#[derive(Default)]
pub(super) struct Ahead {
    calls_without: u32,
}

impl Ahead {
    pub(super) fn start_call(&mut self) {
        self.calls_without = self.calls_without.saturating_sub(1);
    }

    pub(super) fn is_worth_it(&self) -> bool {
        self.calls_without == 0
    }

    /// So many groups of a read ahead were given, so many of them whole.
    pub(super) fn learn(&mut self, given: usize, whole: usize) {
        if whole * 2 < given {
            self.calls_without = CALLS_WITHOUT_AHEAD;
        }
    }
}
