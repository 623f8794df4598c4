//! Timers that do not fit into memory. They stand twice: by key, so that those of a batch's keys are found with one read,
//! and by the first of their times, so that the due ones come in pages.

use std::collections::BTreeMap;

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::KeyGroup;
use crate::model::time::Timestamp;
use crate::state::snapshot::Content;
use crate::state::timers::store::{Place, Rewrite, TIMER_BYTES, TakeKey, TakeTimers, TimerStore, first_time};

use super::backend::{RocksDbState, open_instance};
use super::layout;

/// What is read at a time when timers are rewritten.
const REWRITTEN_BYTES_MAX: usize = 1 << 20;

fn count(timers: &[u8]) -> u64 {
    (timers.len() / TIMER_BYTES) as u64
}

impl RocksDbState {
    /// Takes away what a key has; `first` is the first of its times.
    fn remove_timers(
        &mut self,
        content: Content,
        group: KeyGroup,
        key: &[u8],
        first: Timestamp,
        timers: u64,
    ) -> Result<(), Fault> {
        let instance = open_instance(&mut self.instance)?;
        let stored = &mut self.timer_key;
        stored.clear();
        layout::put_timers_key(group, content, key, stored);
        instance.remove(stored)?;
        stored.clear();
        layout::put_due_key(group, content, first, key, stored);
        instance.remove(stored)?;
        *self.counts[usize::from(group.0)].timers_mut(content) -= timers;
        Ok(())
    }

    /// The keys with timers of a group behind the key `after`, some of them, with their timers.
    fn page_of_timers(
        &mut self,
        content: Content,
        group: KeyGroup,
        after: Option<&[u8]>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Fault> {
        let (mut page, mut bytes) = (BTreeMap::new(), 0);
        let mut start = layout::timers_start(group, content).to_vec();
        if let Some(after) = after {
            start.extend_from_slice(after);
            // The key behind it.
            start.push(0);
        }
        let end = layout::timers_end(group, content);
        open_instance(&mut self.instance)?.range(&start, &end, |stored, timers| {
            bytes += stored.len() + timers.len();
            page.insert(stored[layout::PREFIX_BYTES..].to_vec(), timers.to_vec());
            Ok(bytes < REWRITTEN_BYTES_MAX)
        })?;
        Ok(page)
    }
}

impl TimerStore for RocksDbState {
    fn timer_bytes_max(&self) -> usize {
        self.host.cache_bytes_max
    }

    fn stored_timers(&self, content: Content) -> Vec<(KeyGroup, usize)> {
        let groups = self.counts.iter().zip(0..);
        let groups = groups.map(|(counts, group)| (KeyGroup(group), counts.timers(content) as usize));
        groups.filter(|(_, timers)| *timers > 0).collect()
    }

    fn put_timers(&mut self, content: Content, group: KeyGroup, key: &[u8], timers: &[u8]) -> Result<(), Fault> {
        let instance = open_instance(&mut self.instance)?;
        let stored = &mut self.timer_key;
        stored.clear();
        layout::put_timers_key(group, content, key, stored);
        instance.put(stored, timers)?;
        stored.clear();
        layout::put_due_key(group, content, first_time(timers)?, key, stored);
        instance.put(stored, timers)?;
        *self.counts[usize::from(group.0)].timers_mut(content) += count(timers);
        Ok(())
    }

    fn write_timers(&mut self) -> Result<(), Fault> {
        open_instance(&mut self.instance)?.write()
    }

    fn take_timers(&mut self, content: Content, keys: &Keys, take: &mut TakeTimers<'_>) -> Result<(), Fault> {
        let group = |i: usize| keys.hash(i).group(self.max_parallelism);
        let (mut stored, mut ends) = (Vec::new(), vec![0]);
        for (i, key) in keys.iter().enumerate() {
            layout::put_timers_key(group(i), content, key, &mut stored);
            ends.push(stored.len());
        }
        let (mut numbers, mut found) = (0.., Vec::new());
        let asked = ends.windows(2).map(|ends| &stored[ends[0]..ends[1]]);
        open_instance(&mut self.instance)?.get_many(asked, |timers| {
            let number = numbers.next().unwrap_or_default();
            let Some(timers) = timers else { return Ok(()) };
            found.push((number, group(number), first_time(timers)?, count(timers)));
            take(number, timers)
        })?;
        for (number, group, first, timers) in found {
            self.remove_timers(content, group, keys.get(number), first, timers)?;
        }
        self.write_timers()
    }

    fn take_first_timers(
        &mut self,
        content: Content,
        group: KeyGroup,
        (from, from_key): &Place,
        now: Timestamp,
        bytes_max: usize,
        take: &mut TakeKey<'_>,
    ) -> Result<Option<Place>, Fault> {
        let mut start = Vec::new();
        layout::put_due_key(group, content, *from, from_key, &mut start);
        let (mut taken, mut bytes, mut next) = (Vec::new(), 0, None);
        let instance = open_instance(&mut self.instance)?;
        instance.range(&start, &layout::due_end(group, content), |stored, timers| {
            let (first, key) = layout::parse_due_key(stored).ok_or_else(|| instance.strange())?;
            if bytes >= bytes_max || taken.is_empty() && first > now {
                next = Some((first, key.into()));
                return Ok(false);
            }
            bytes += stored.len() + timers.len();
            taken.push((first, key.to_vec(), count(timers)));
            take(key, timers)?;
            Ok(true)
        })?;
        for (first, key, timers) in taken {
            self.remove_timers(content, group, &key, first, timers)?;
        }
        self.write_timers()?;
        Ok(next)
    }

    fn rewrite_timers(&mut self, content: Content, rewrite: &mut Rewrite<'_>) -> Result<(), Fault> {
        for group in self.groups.clone().map(KeyGroup) {
            let mut last: Option<Vec<u8>> = None;
            loop {
                let mut page = self.page_of_timers(content, group, last.as_deref())?;
                for (key, then) in &page {
                    let now = rewrite(then)?;
                    self.remove_timers(content, group, key, first_time(then)?, count(then))?;
                    if !now.is_empty() {
                        self.put_timers(content, group, key, &now)?;
                    }
                }
                self.write_timers()?;
                match page.pop_last() {
                    None => break,
                    Some((key, _)) => last = Some(key),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
