//! Where timers go that do not fit into memory.

use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::KeyGroup;
use crate::model::time::Timestamp;
use crate::state::snapshot::{Content, cut_short};

/// Where a key stands among those of its group that have timers: the first of its times, and the key.
pub type Place = (Timestamp, Arc<[u8]>);

/// Is shown the number of a key among those that were asked for, and its timers.
pub type TakeTimers<'t> = dyn FnMut(usize, &[u8]) -> Result<(), Fault> + 't;

/// Is shown a key and its timers.
pub type TakeKey<'t> = dyn FnMut(&[u8], &[u8]) -> Result<(), Fault> + 't;

/// What timers of a key become.
pub type Rewrite<'r> = dyn FnMut(&[u8]) -> Result<Vec<u8>, Fault> + 'r;

/// Keeps all timers that a key has of a clock (which `content` names) as one value, in the form of `put_timer`.
pub trait TimerStore {
    /// What the timers of a clock may take in memory.
    fn timer_bytes_max(&self) -> usize;

    /// How many timers of a clock are here, of each key group that has some.
    fn stored_timers(&self, content: Content) -> Vec<(KeyGroup, usize)>;

    /// Puts the timers, at least one, of a key that has none here. They can be read after `write_timers`.
    fn put_timers(&mut self, content: Content, group: KeyGroup, key: &[u8], timers: &[u8]) -> Result<(), Fault>;

    /// Hands over what was put.
    fn write_timers(&mut self) -> Result<(), Fault>;

    /// Takes away what these keys, which are distinct, have here.
    fn take_timers(&mut self, content: Content, keys: &Keys, take: &mut TakeTimers<'_>) -> Result<(), Fault>;

    /// Takes away what the keys of a group have here, in order of their places, from the place `from` on, until it is of
    /// `bytes_max` bytes or more; none, if the first is not due at `now`. Returns the place of the next one.
    fn take_first_timers(
        &mut self,
        content: Content,
        group: KeyGroup,
        from: &Place,
        now: Timestamp,
        bytes_max: usize,
        take: &mut TakeKey<'_>,
    ) -> Result<Option<Place>, Fault>;

    /// Makes all timers of a clock what `rewrite` says; of a key that has none left everything goes.
    fn rewrite_timers(&mut self, content: Content, rewrite: &mut Rewrite<'_>) -> Result<(), Fault>;
}

/// Of a timer, as it is durable: its number (u32) and its time (i64), little-endian.
pub const TIMER_BYTES: usize = 12;

pub fn put_timer(timer: u32, at: Timestamp, into: &mut Vec<u8>) {
    into.extend_from_slice(&timer.to_le_bytes());
    into.extend_from_slice(&at.0.to_le_bytes());
}

/// Reads what `put_timer` wrote.
pub fn read_timers(timers: &[u8]) -> Result<impl Iterator<Item = (u32, Timestamp)>, Fault> {
    let (timers, rest) = timers.as_chunks::<TIMER_BYTES>();
    if !rest.is_empty() {
        return Err(cut_short("a timer"));
    }
    Ok(timers
        .iter()
        .map(|[a, b, c, d, at @ ..]| (u32::from_le_bytes([*a, *b, *c, *d]), Timestamp(i64::from_le_bytes(*at)))))
}

/// The first of the times of a key's timers.
pub fn first_time(timers: &[u8]) -> Result<Timestamp, Fault> {
    read_timers(timers)?.map(|(_, at)| at).min().ok_or_else(|| cut_short("the timers of a key"))
}
