//! A row: the values of all states of a key, as backends keep them and checkpoints write them. For each state 0, or 1
//! and the value, with its length (u32, little-endian) before it unless the state's width is fixed.

use smallvec::SmallVec;

use crate::model::fault::Fault;
use crate::model::value::{Layout, Values};

use super::FormerState;
use super::snapshot::cut_short;

/// Short ones stand in their table entry.
pub type Row = SmallVec<[u8; 24]>;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// The rows of an operator.
#[derive(Clone, Debug)]
pub struct RowLayout {
    /// The width of each state's values, where it is fixed.
    widths: Vec<Option<usize>>,
}

impl RowLayout {
    pub fn new(widths: Vec<Option<usize>>) -> Self {
        Self { widths }
    }

    /// An empty column for each state.
    pub fn columns(&self) -> Vec<Values> {
        self.widths.iter().map(|width| Values::new(*width)).collect()
    }

    /// Makes `row` that of key `i` in the columns `states`; empty if none of them has a value.
    #[inline]
    pub fn encode(&self, states: &[Values], i: usize, row: &mut Row) {
        row.clear();
        let mut any = false;
        for (values, width) in states.iter().zip(&self.widths) {
            match values.get(i) {
                None => row.push(ABSENT),
                Some(value) => {
                    any = true;
                    row.push(PRESENT);
                    if width.is_none() {
                        row.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    }
                    row.extend_from_slice(value);
                }
            }
        }
        if !any {
            row.clear();
        }
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
        let mut value = |width: &Option<usize>| {
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
                rest = rest.split_at_checked(length)?.1;
            }
            row = rest;
            Some(())
        };
        self.widths.iter().all(|width| value(width).is_some()) && row.is_empty()
    }

    /// How rows of a checkpoint become this operator's.
    pub fn transposition(&self, former: &[FormerState]) -> Transposition {
        let now = self.widths.iter().enumerate().map(|(i, width)| FormerState { width: *width, number: Some(i) });
        let from = |number| former.iter().position(|state| state.number == Some(number));
        Transposition {
            read: Self::new(former.iter().map(|state| state.width).collect()),
            write: self.clone(),
            sources: (!former.iter().copied().eq(now)).then(|| (0..self.widths.len()).map(from).collect()),
        }
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

    /// Empty if none of the operator's states has a value.
    pub fn apply(&self, row: &[u8]) -> Result<Row, Fault> {
        if !self.read.is_whole(row) {
            return Err(cut_short("a row"));
        }
        let Some(sources) = &self.sources else { return Ok(Row::from_slice(row)) };
        let (mut read, mut states) = (self.read.columns(), self.write.columns());
        self.read.decode(row, &mut read);
        for (values, source) in states.iter_mut().zip(sources) {
            values.push(source.and_then(|source| read[source].get(0)));
        }
        let mut row = Row::new();
        self.write.encode(&states, 0, &mut row);
        Ok(row)
    }
}
