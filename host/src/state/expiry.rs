//! Values and entries that expire are stored with the time at which they were last written before them, in the clock of
//! their state: an i64 of microseconds, little-endian.

use crate::model::time::Timestamp;

pub const STAMP_BYTES: usize = 8;

/// What has expired now, by state: what was written at this time or before; `None` = the state does not expire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Of the value-like states, in the order of a row.
    pub values: Vec<Option<Timestamp>>,
    /// Of all states, by number.
    pub entries: Vec<Option<Timestamp>>,
}

impl Expired {
    /// Whether a stored value of the value-like state at this index has expired.
    pub fn value(&self, index: usize, stored: &[u8]) -> bool {
        self.values[index].is_some_and(|until| stamp(stored) <= until)
    }

    /// Whether a stored entry of the state with this number has expired.
    pub fn entry(&self, state: usize, stored: &[u8]) -> bool {
        self.entries.get(state).copied().flatten().is_some_and(|until| stamp(stored) <= until)
    }
}

/// How many of `all` values and entries one step of a sweep looks at: a thousandth, between 1,000 and 16,000.
pub fn looks_of_step(all: usize) -> usize {
    (all / 1_000).clamp(1_000, 16_000)
}

/// When a stored value was written. It must be one of a state that expires.
pub fn stamp(stored: &[u8]) -> Timestamp {
    let stamp = stored.first_chunk::<STAMP_BYTES>().expect("a stored value begins with its time");
    Timestamp(i64::from_le_bytes(*stamp))
}
