//! A broken plugin must not eat a stream: too many dead letters among the last `WINDOW_EVENTS` events fail the job.

use std::collections::VecDeque;

/// The events that the fraction is of.
pub const WINDOW_EVENTS: u64 = 10_000;

/// Counts the dead letters among the last `WINDOW_EVENTS` events of one node in one slot, to the batch.
#[derive(Debug)]
pub struct DeadLetterLimit {
    letters_max: u64,
    batches: VecDeque<(u64, u64)>,
    events: u64,
    letters: u64,
}

impl DeadLetterLimit {
    pub fn new(fraction_max: f64) -> Self {
        let letters_max = (fraction_max * WINDOW_EVENTS as f64) as u64;
        Self { letters_max, batches: VecDeque::new(), events: 0, letters: 0 }
    }

    /// Whether there are too many now.
    pub fn exceeded(&mut self, events: u64, letters: u64) -> bool {
        if events == 0 || letters == 0 && self.letters == 0 {
            // Nothing to remember: a watermark alone has no events, and those before the first letter only make the
            // fraction smaller.
            return false;
        }
        self.batches.push_back((events, letters));
        self.events += events;
        self.letters += letters;
        while let Some((oldest, its_letters)) = self.batches.front() {
            if self.events - oldest < WINDOW_EVENTS {
                break;
            }
            self.events -= oldest;
            self.letters -= its_letters;
            self.batches.pop_front();
        }
        self.letters
            > self.letters_max.max(self.events.saturating_sub(WINDOW_EVENTS) * self.letters_max / WINDOW_EVENTS)
    }

    pub fn letters_max(&self) -> u64 {
        self.letters_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_percent_may_go_on_for_ever_and_more_may_not() {
        let mut limit = DeadLetterLimit::new(0.01);
        assert!((0..1000).all(|_| !limit.exceeded(1000, 10)));
        assert!((0..9).all(|_| !limit.exceeded(1000, 10)));
        let mut limit = DeadLetterLimit::new(0.01);
        let broken = (0..1000).position(|_| limit.exceeded(1000, 11));
        assert_eq!(broken, Some(9));
    }

    #[test]
    fn a_batch_of_nothing_but_bad_events_fails_when_it_passes_the_limit() {
        let mut limit = DeadLetterLimit::new(0.01);
        assert!(!limit.exceeded(100, 100));
        assert!(limit.exceeded(1, 1));
    }
}
