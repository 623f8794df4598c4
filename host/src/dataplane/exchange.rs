//! Sends the rows of a batch to the slots that they belong to.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::model::batch::Batch;
use crate::model::id::{Parallelism, Slot};
use crate::model::key::Keys;
use crate::model::key_group::KeyGroup;
use crate::model::message::Message;
use crate::plan::graph::Exchange;

use super::channel::Outlet;

/// The sending side of an edge between slots.
pub struct Router {
    route: Exchange,
    max_parallelism: u16,
    /// The slot of each key group.
    slots: Vec<Slot>,
    targets: Vec<Target>,
    /// Where the next batch goes, when batches go round.
    next: usize,
    keys: Keys,
}

struct Target {
    outlet: Box<dyn Outlet>,
    /// What the channel had no credit for: what one step produced, at most.
    waiting: VecDeque<Message>,
}

/// What a slot gets of a batch.
struct Share {
    rows: Vec<u32>,
    /// So that the reader need not hash the keys again.
    key_hashes: Vec<u64>,
}

impl Share {
    fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), key_hashes: Vec::with_capacity(rows) }
    }
}

impl Router {
    /// One outlet for each slot of the reader, in order.
    pub fn new(route: Exchange, outlets: Vec<Box<dyn Outlet>>, max_parallelism: u16) -> Self {
        let parallelism = Parallelism::new(outlets.len() as u16).unwrap_or(Parallelism::ONE);
        let target = |outlet| Target { outlet, waiting: VecDeque::new() };
        let targets = outlets.into_iter().map(target).collect();
        let slots = (0..max_parallelism).map(|group| KeyGroup(group).slot(parallelism, max_parallelism)).collect();
        Self { route, max_parallelism, slots, targets, next: 0, keys: Keys::default() }
    }

    /// `keys_of` is the batch with the columns that the route's key names; `batch` has the same rows as the reader
    /// wants them.
    pub fn route(&mut self, keys_of: &Batch, batch: Batch) {
        match &self.route {
            Exchange::Hash { key } if self.targets.len() > 1 => {
                let columns: Vec<ArrayRef> = key.iter().map(|i| Arc::clone(keys_of.column(*i))).collect();
                self.keys.encode(&columns, keys_of.records().num_rows());
                for (target, Share { rows, key_hashes }) in self.shares(&batch).into_iter().enumerate() {
                    if !rows.is_empty() {
                        // Copied here, where the rows are in the cache, and not gathered from another core.
                        let batch = batch.select(rows).compact().with_key_hashes(Some(key_hashes.into()));
                        self.targets[target].push(Message::Batch(batch));
                    }
                }
            }
            Exchange::Rebalance => {
                self.next = (self.next + 1) % self.targets.len();
                self.targets[self.next].push(Message::Batch(batch));
            }
            Exchange::Hash { .. } | Exchange::Forward | Exchange::Broadcast => {
                self.targets.iter_mut().for_each(|target| target.push(Message::Batch(batch.clone())));
            }
        }
    }

    /// For each slot the rows, among those that count, whose key group it owns.
    fn shares(&self, batch: &Batch) -> Vec<Share> {
        let expected = batch.rows() / self.targets.len() + 16;
        let mut shares: Vec<Share> = self.targets.iter().map(|_| Share::with_capacity(expected)).collect();
        let mut assign = |number: usize, row: usize| {
            let hash = self.keys.hash(row);
            let share = &mut shares[self.slots[hash.group(self.max_parallelism).0 as usize].0 as usize];
            share.rows.push(number as u32);
            share.key_hashes.push(hash.0);
        };
        match batch.selection() {
            None => (0..batch.rows()).for_each(|row| assign(row, row)),
            Some(selection) => {
                selection.iter().enumerate().for_each(|(number, row)| assign(number, *row as usize));
            }
        }
        shares
    }

    /// Watermarks, idleness and the end are for every slot.
    pub fn announce(&mut self, message: &Message) {
        self.targets.iter_mut().for_each(|target| target.push(message.clone()));
    }

    /// Sends what waits; whether nothing waits any more.
    pub fn flush(&mut self) -> bool {
        self.targets.iter_mut().map(Target::flush).fold(true, std::ops::BitAnd::bitand)
    }
}

impl Target {
    fn push(&mut self, message: Message) {
        match (self.waiting.back_mut(), message) {
            // A watermark replaces one that has not left yet.
            (Some(Message::Watermark(last)), Message::Watermark(watermark)) => *last = watermark,
            (_, message) => self.waiting.push_back(message),
        }
    }

    fn flush(&mut self) -> bool {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(message) = self.outlet.send(message) {
                self.waiting.push_front(message);
                return false;
            }
        }
        true
    }
}
