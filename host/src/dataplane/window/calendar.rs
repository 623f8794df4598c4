//! Which windows an event falls into, and which panes a window is made of. Windows and panes have numbers: window `j`
//! is `[j * slide + offset, ..)`, pane `k` is `[k * pane + offset, ..)`, where the length of a pane is the greatest
//! common divisor of size and slide, so that a pane lies inside a window or outside. Only here numbers become times;
//! at both ends of time these saturate.

use std::ops::Range;

use crate::model::time::{Micros, Timestamp};
use crate::plan::graph::Window;

/// Beyond it (140,000 years in panes of a microsecond) all times fall into one pane, so that numbers of panes and
/// windows can be added.
const PANE_MAX: i64 = i64::MAX / 2;

#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    window: Window,
    pane: i64,
    panes_per_slide: i64,
    panes_per_window: i64,
}

impl Calendar {
    /// Size and slide are above zero.
    pub fn new(window: Window) -> Self {
        let (size, slide) = (window.size.0, window.slide.0);
        assert!(size > 0 && slide > 0, "the plan refuses windows without a size or a slide");
        let pane = greatest_common_divisor(size, slide);
        Self { window, pane, panes_per_slide: slide / pane, panes_per_window: size / pane }
    }

    /// Whether every window is one pane.
    pub fn is_tumbling(&self) -> bool {
        self.panes_per_window == 1
    }

    pub fn pane_at(&self, time: i64) -> i64 {
        let pane = match time.checked_sub(self.window.offset.0) {
            Some(since) => since.div_euclid(self.pane),
            None => clamp((wide(time) - wide(self.window.offset.0)).div_euclid(wide(self.pane))),
        };
        pane.clamp(-PANE_MAX, PANE_MAX)
    }

    /// The pane of each row, ascending, and the rows in that order.
    pub fn sort_into_panes(&self, times: &[i64]) -> (Vec<i64>, Vec<u32>) {
        let (mut pane, mut range) = (0, 0..0);
        let mut rows: Vec<(i64, u32)> = Vec::with_capacity(times.len());
        for (row, time) in times.iter().enumerate() {
            if !range.contains(time) {
                pane = self.pane_at(*time);
                range = self.pane_times(pane);
            }
            rows.push((pane, row as u32));
        }
        rows.sort_by_key(|(pane, _)| *pane);
        rows.into_iter().unzip()
    }

    pub fn pane_times(&self, pane: i64) -> Range<i64> {
        let start = wide(pane) * wide(self.pane) + wide(self.window.offset.0);
        clamp(start)..clamp(start + wide(self.pane))
    }

    pub fn window_times(&self, window: i64) -> Range<i64> {
        let start = wide(window) * wide(self.window.slide.0) + wide(self.window.offset.0);
        clamp(start)..clamp(start + wide(self.window.size.0))
    }

    pub fn panes_of(&self, window: i64) -> Range<i64> {
        let start = window.saturating_mul(self.panes_per_slide);
        start..start.saturating_add(self.panes_per_window)
    }

    /// The windows that a pane is part of: none if it lies between windows that are shorter than their slide.
    pub fn windows_of(&self, pane: i64) -> Range<i64> {
        let before_first = pane.saturating_sub(self.panes_per_window).div_euclid(self.panes_per_slide);
        before_first + 1..pane.div_euclid(self.panes_per_slide) + 1
    }

    /// The first window that is not over at this watermark: those before it are to fire.
    pub fn due_until(&self, watermark: Timestamp) -> i64 {
        match watermark {
            Timestamp::MIN => i64::MIN,
            Timestamp::MAX => i64::MAX,
            Timestamp(at) => {
                let since_first_end = wide(at) + 1 - wide(self.window.size.0) - wide(self.window.offset.0);
                clamp(since_first_end.div_euclid(wide(self.window.slide.0)) + 1)
            }
        }
    }

    /// The first window whose rows still count: those before it are gone.
    pub fn gone_until(&self, watermark: Timestamp, allowed_lateness: Micros) -> i64 {
        self.due_until(watermark - allowed_lateness)
    }

    /// The first pane that a window from `window` on may need.
    pub fn first_pane_of(&self, window: i64) -> i64 {
        self.panes_of(window).start
    }
}

fn wide(micros: i64) -> i128 {
    i128::from(micros)
}

fn clamp(micros: i128) -> i64 {
    micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calendar(size: i64, slide: i64, offset: i64) -> Calendar {
        Calendar::new(Window { size: Micros(size), slide: Micros(slide), offset: Micros(offset) })
    }

    proptest! {
        #[test]
        fn windows_and_panes_agree(
            size in 1i64..40, slide in 1i64..40, offset in -50i64..50, time in -100i64..100
        ) {
            let calendar = calendar(size, slide, offset);
            let pane = calendar.pane_at(time);
            prop_assert!(calendar.pane_times(pane).contains(&time));
            for window in -300..300 {
                let holds = calendar.window_times(window).contains(&time);
                prop_assert_eq!(calendar.windows_of(pane).contains(&window), holds);
                prop_assert_eq!(calendar.panes_of(window).contains(&pane), holds);
                let over = calendar.window_times(window).end - 1 <= time;
                prop_assert_eq!(window < calendar.due_until(Timestamp(time)), over);
            }
        }
    }

    #[test]
    fn both_ends_of_time_lie_in_a_window() {
        for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            for calendar in [calendar(10, 3, 7), calendar(1, 1, -7), calendar(i64::MAX, i64::MAX, 5)] {
                let pane = calendar.pane_at(time);
                assert!(!calendar.windows_of(pane).is_empty());
                assert!(calendar.windows_of(pane).end <= calendar.due_until(Timestamp::MAX));
            }
        }
        assert_eq!(calendar(10, 10, 0).due_until(Timestamp::MAX), i64::MAX);
        assert_eq!(calendar(10, 10, 0).gone_until(Timestamp(-5), Micros(i64::MAX)), i64::MIN);
    }
}
