//! A row: the values of all value-like states of a key, as backends keep them and checkpoints write them. For each state
//! 0, or 1 and the value, with its length (u32, little-endian) before it unless the state's width is fixed.

use smallvec::SmallVec;

use crate::model::fault::Fault;
use crate::model::value::{Layout, Values};

use super::expiry::{Expired, STAMP_BYTES};
use super::snapshot::cut_short;
use super::{FormerState, StateLayout};

/// Short ones stand in their table entry.
pub type Row = SmallVec<[u8; 24]>;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// Whether key `i` has a value in any of the columns `states`.
#[inline]
pub fn has_values(states: &[Values], i: usize) -> bool {
    states.iter().any(|values| values.present[i])
}

/// Word by word: the C library compares vectors, which end in the line of memory behind a table entry, and waits for it.
#[inline]
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let ((words, rest), (others, other_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let is_word = |(word, other): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*word) == u64::from_ne_bytes(*other);
    a.len() == b.len() && words.iter().zip(others).all(is_word) && rest.iter().eq(other_rest)
}

/// The rows of an operator.
#[derive(Clone, Debug)]
pub struct RowLayout {
    /// The width of each value-like state's values, where it is fixed.
    widths: Vec<Option<usize>>,
    /// How many bytes a value has at least: those of its time, where it expires.
    bytes_min: Vec<usize>,
    /// The number of each among all states of the operator.
    numbers: Vec<usize>,
}

impl RowLayout {
    /// Of an operator with these states, or of a checkpoint of one.
    pub fn new(states: impl IntoIterator<Item = StateLayout>) -> Self {
        let (mut widths, mut bytes_min, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for (number, state) in states.into_iter().enumerate() {
            let StateLayout::Value { width, expires } = state else { continue };
            widths.push(width);
            bytes_min.push(if expires { STAMP_BYTES } else { 0 });
            numbers.push(number);
        }
        Self { widths, bytes_min, numbers }
    }

    /// An empty column for each state.
    pub fn columns(&self) -> Vec<Values> {
        self.widths.iter().map(|width| Values::new(*width)).collect()
    }

    /// Makes `row` that of key `i` in the columns `states`; empty if none of them has a value.
    #[inline]
    pub fn encode(&self, states: &[Values], i: usize, row: &mut Row) {
        row.clear();
        if !has_values(states, i) {
            return;
        }
        for (values, width) in states.iter().zip(&self.widths) {
            match values.get(i) {
                None => row.push(ABSENT),
                Some(value) => {
                    row.push(PRESENT);
                    if width.is_none() {
                        row.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    }
                    row.extend_from_slice(value);
                }
            }
        }
    }

    /// Whether `row` is that of key `i` in the columns `states`.
    // It is not made to be compared: what has just been written byte by byte cannot be read at once, as a whole, before all
    // that was written earlier has reached the cache.
    #[inline]
    pub fn is_row(&self, states: &[Values], i: usize, row: &[u8]) -> bool {
        if row.is_empty() {
            return !has_values(states, i);
        }
        let mut rest = row;
        let mut is_next = |bytes: &[u8]| {
            let Some((next, behind)) = rest.split_at_checked(bytes.len()) else { return false };
            rest = behind;
            is_equal(next, bytes)
        };
        let is_all = states.iter().zip(&self.widths).all(|(values, width)| match values.get(i) {
            None => is_next(&[ABSENT]),
            Some(value) => {
                is_next(&[PRESENT])
                    && (width.is_some() || is_next(&(value.len() as u32).to_le_bytes()))
                    && is_next(value)
            }
        });
        is_all && rest.is_empty()
    }

    /// Appends the values of a row to the columns `states`; an empty one has none.
    #[inline]
    pub fn decode(&self, mut row: &[u8], states: &mut [Values]) {
        if row.is_empty() {
            return states.iter_mut().for_each(|values| values.push(None));
        }
        for (values, width) in states.iter_mut().zip(&self.widths) {
            let tag = row[0];
            row = &row[1..];
            if tag == ABSENT {
                values.push(None);
                continue;
            }
            let length = match width {
                Some(width) => *width,
                None => {
                    let (length, rest) = row.split_first_chunk::<4>().expect("a row is whole");
                    row = rest;
                    u32::from_le_bytes(*length) as usize
                }
            };
            debug_assert!(width.is_some() || matches!(values.layout, Layout::Variable { .. }));
            let (value, rest) = row.split_at(length);
            values.push(Some(value));
            row = rest;
        }
    }

    /// Whether `decode` can read a row, which may be anything but empty.
    pub fn is_whole(&self, mut row: &[u8]) -> bool {
        let mut value = |width: &Option<usize>, bytes_min: usize| {
            let (tag, mut rest) = row.split_first()?;
            if *tag != ABSENT {
                let length = match width {
                    Some(width) => *width,
                    None => {
                        let (length, behind) = rest.split_first_chunk::<4>()?;
                        rest = behind;
                        u32::from_le_bytes(*length) as usize
                    }
                };
                rest = rest.split_at_checked(length).filter(|_| length >= bytes_min)?.1;
            }
            row = rest;
            Some(())
        };
        self.widths.iter().zip(&self.bytes_min).all(|(width, min)| value(width, *min).is_some()) && row.is_empty()
    }

    /// What is left of a row without the values that have expired, empty if nothing is; `None` = none has.
    pub fn without_expired(&self, row: &[u8], expired: &Expired) -> Option<Row> {
        let mut states = self.columns();
        self.decode(row, &mut states);
        let mut has_expired = false;
        for (index, values) in states.iter_mut().enumerate() {
            if values.get(0).is_some_and(|stored| expired.value(index, stored)) {
                values.present[0] = false;
                has_expired = true;
            }
        }
        let mut rest = Row::new();
        self.encode(&states, 0, &mut rest);
        has_expired.then_some(rest)
    }

    /// How rows of a checkpoint become this operator's.
    pub fn transposition(&self, former: &[FormerState]) -> Transposition {
        let read = Self::new(former.iter().map(|state| state.layout));
        let in_row: Vec<&FormerState> = read.numbers.iter().map(|then| &former[*then]).collect();
        let from = |now: &usize| in_row.iter().position(|then| then.number == Some(*now));
        let sources: Vec<_> = self.numbers.iter().map(from).collect();
        let stays = read.widths == self.widths
            && sources.iter().copied().eq((0..self.widths.len()).map(Some))
            && in_row.iter().all(|then| then.conversion.is_none());
        Transposition { read, write: self.clone(), sources: (!stays).then_some(sources) }
    }
}

/// Rows of a checkpoint in, rows of an operator out.
#[derive(Debug)]
pub struct Transposition {
    read: RowLayout,
    write: RowLayout,
    /// For each state of the operator the one of the checkpoint; `None` = rows are as they should be.
    sources: Option<Vec<Option<usize>>>,
}

impl Transposition {
    /// Rows stay as they are.
    pub fn is_identity(&self) -> bool {
        self.sources.is_none()
    }

    /// Empty if none of the operator's states has a value. `former` are the states that the transposition was made for.
    pub fn apply(&self, row: &[u8], former: &mut [FormerState]) -> Result<Row, Fault> {
        if !self.read.is_whole(row) {
            return Err(cut_short("a row"));
        }
        let Some(sources) = &self.sources else { return Ok(Row::from_slice(row)) };
        let (mut read, mut states) = (self.read.columns(), self.write.columns());
        self.read.decode(row, &mut read);
        for (values, source) in states.iter_mut().zip(sources) {
            let Some((source, stored)) = source.and_then(|source| Some((source, read[source].get(0)?))) else {
                values.push(None);
                continue;
            };
            values.push(Some(&former[self.read.numbers[source]].convert(stored)?));
        }
        let mut row = Row::new();
        self.write.encode(&states, 0, &mut row);
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUTS: [StateLayout; 3] = [
        StateLayout::Value { width: Some(9), expires: false },
        StateLayout::Value { width: None, expires: false },
        StateLayout::Value { width: Some(0), expires: false },
    ];

    fn values() -> impl Strategy<Value = (Option<[u8; 9]>, Option<Vec<u8>>, bool)> {
        (any::<Option<bool>>(), any::<Option<u8>>(), any::<bool>()).prop_map(|(fixed, variable, empty)| {
            (fixed.map(|last| [1, 2, 3, 4, 5, 6, 7, 8, last.into()]), variable.map(|n| vec![7; n as usize % 20]), empty)
        })
    }

    proptest! {
        #[test]
        fn a_row_is_that_of_the_values_it_was_made_of(rows in prop::collection::vec(values(), 2..6)) {
            let layout = RowLayout::new(LAYOUTS);
            let mut states = layout.columns();
            for (fixed, variable, empty) in &rows {
                states[0].push(fixed.as_ref().map(|value| &value[..]));
                states[1].push(variable.as_deref());
                states[2].push(empty.then_some(&[]));
            }
            for (i, row) in rows.iter().enumerate() {
                let mut encoded = Row::from_slice(b"what was there before");
                layout.encode(&states, i, &mut encoded);
                for (j, other) in rows.iter().enumerate() {
                    prop_assert_eq!(layout.is_row(&states, j, &encoded), row == other);
                }
                let mut decoded = layout.columns();
                layout.decode(&encoded, &mut decoded);
                for (decoded, values) in decoded.iter().zip(&states) {
                    prop_assert_eq!(decoded.get(0), values.get(i));
                }
            }
        }
    }
}
