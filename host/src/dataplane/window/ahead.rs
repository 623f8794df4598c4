//! Windows that have fired for some key groups and not for others: an unaligned checkpoint finds the slots of a window at
//! different watermarks, and the node goes on from the smallest.

use crate::dataplane::snapshot::Ahead;
use crate::model::key_group::{KeyGroup, KeyHash};
use crate::model::time::Timestamp;

/// How far each key group has fired.
pub struct Fired {
    by_group: Vec<Timestamp>,
    /// The largest.
    until: Timestamp,
}

impl Fired {
    /// `None` = none is ahead of the watermark.
    pub fn new(ahead: &[Ahead], watermark: Timestamp, max_parallelism: u16) -> Option<Self> {
        let mut by_group = vec![watermark; max_parallelism.into()];
        for ahead in ahead {
            let groups = by_group.get_mut(usize::from(ahead.groups.start)..usize::from(ahead.groups.end));
            groups.into_iter().flatten().for_each(|group| *group = (*group).max(Timestamp(ahead.watermark)));
        }
        let until = by_group.iter().copied().max().unwrap_or(watermark);
        (until > watermark).then_some(Self { by_group, until })
    }

    /// Whether no group is ahead any more.
    pub fn is_past(&self, watermark: Timestamp) -> bool {
        watermark >= self.until
    }

    /// Whether the window that ends there has fired for this key.
    pub fn holds(&self, key: &[u8], end: i64) -> bool {
        let KeyGroup(group) = KeyHash::of(key).group(self.by_group.len() as u16);
        // A window is over when its last microsecond is.
        end - 1 <= self.by_group[usize::from(group)].0
    }

    /// The groups that are ahead, for the next checkpoint.
    pub fn ahead(&self, watermark: Timestamp) -> Vec<Ahead> {
        let groups = self.by_group.iter().zip(0..).filter(|(at, _)| **at > watermark);
        groups.map(|(at, group)| Ahead { groups: group..group + 1, watermark: at.0 }).collect()
    }
}
