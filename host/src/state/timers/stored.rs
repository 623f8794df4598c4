//! What is known in memory of the timers that are in a store.

use std::collections::BTreeSet;

use crate::model::key_group::KeyGroup;
use crate::model::time::Timestamp;

use super::store::Place;

pub struct Stored {
    /// How many there are.
    pub timers: usize,
    /// For each key group: in the store no key of it stands before this place; none = no key of it is there.
    first: Vec<Option<Place>>,
    /// The same in order.
    order: BTreeSet<(Place, KeyGroup)>,
}

impl Stored {
    pub fn new(max_parallelism: u16) -> Self {
        Self { timers: 0, first: vec![None; max_parallelism.into()], order: BTreeSet::new() }
    }

    /// These groups have so many, wherever they are.
    pub fn restore(&mut self, groups: &[(KeyGroup, usize)]) {
        for (group, timers) in groups {
            self.timers += timers;
            self.put(*group, (Timestamp::MIN, [].into()));
        }
    }

    /// Of all groups.
    pub fn first(&self) -> Option<&(Place, KeyGroup)> {
        self.order.first()
    }

    /// Removes the first group; it comes again with a place that is still there.
    pub fn pop_first(&mut self) -> Option<(Place, KeyGroup)> {
        let (place, group) = self.order.pop_first()?;
        self.first[usize::from(group.0)] = None;
        Some((place, group))
    }

    /// A key of the group stands at this place, or behind it.
    pub fn put(&mut self, group: KeyGroup, place: Place) {
        let first = &mut self.first[usize::from(group.0)];
        if first.as_ref().is_some_and(|first| *first <= place) {
            return;
        }
        if let Some(former) = first.replace(place.clone()) {
            self.order.remove(&(former, group));
        }
        self.order.insert((place, group));
    }
}
