//! Encoded values of states and accumulators: a column of byte strings, all of one width or each of its own. What the
//! bytes mean stands in the state's schema (`wit/values.md`).

pub mod json;

/// A column of encoded values; a missing one is absent state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    pub present: Vec<bool>,
    pub layout: Layout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Row `i` is `data[i * width ..][.. width]`; of an absent row the bytes mean nothing.
    Fixed { width: usize, data: Vec<u8> },
    /// Row `i` is `data[offsets[i] .. offsets[i + 1]]`; the first offset is 0.
    Variable { offsets: Vec<i32>, data: Vec<u8> },
}

impl Values {
    /// An empty column for values of `width` bytes, or of any length.
    pub fn new(width: Option<usize>) -> Self {
        let layout = match width {
            Some(width) => Layout::Fixed { width, data: Vec::new() },
            None => Layout::Variable { offsets: vec![0], data: Vec::new() },
        };
        Self { present: Vec::new(), layout }
    }

    pub fn len(&self) -> usize {
        self.present.len()
    }

    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub fn clear(&mut self) {
        self.present.clear();
        match &mut self.layout {
            Layout::Fixed { data, .. } => data.clear(),
            Layout::Variable { offsets, data } => {
                offsets.truncate(1);
                data.clear();
            }
        }
    }

    /// A value of a fixed column must have its width.
    #[inline]
    pub fn push(&mut self, value: Option<&[u8]>) {
        self.present.push(value.is_some());
        match &mut self.layout {
            Layout::Fixed { width, data } => match value {
                Some(value) => {
                    debug_assert_eq!(value.len(), *width);
                    data.extend_from_slice(value);
                }
                None => data.resize(data.len() + *width, 0),
            },
            Layout::Variable { offsets, data } => {
                data.extend_from_slice(value.unwrap_or_default());
                offsets.push(data.len() as i32);
            }
        }
    }

    #[inline]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        if !self.present[row] {
            return None;
        }
        Some(match &self.layout {
            Layout::Fixed { width, data } => &data[row * width..][..*width],
            Layout::Variable { offsets, data } => &data[offsets[row] as usize..offsets[row + 1] as usize],
        })
    }

    /// The bytes of the longest value.
    pub fn longest(&self) -> Option<usize> {
        match &self.layout {
            Layout::Fixed { width, .. } => Some(*width),
            Layout::Variable { offsets, .. } => offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max(),
        }
    }

    pub fn data_bytes(&self) -> usize {
        match &self.layout {
            Layout::Fixed { data, .. } => data.len(),
            Layout::Variable { data, .. } => data.len(),
        }
    }
}
