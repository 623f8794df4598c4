//! Restart strategies: whether and when a job that has failed starts again. Pure.

use std::collections::VecDeque;

use crate::model::time::{Micros, Timestamp};
use crate::plan::fault_tolerance::RestartPlan;

/// The failures of one job so far.
#[derive(Debug)]
pub struct Restarts {
    plan: RestartPlan,
    count: u32,
    /// When it failed last, as far as a rate needs it.
    recent: VecDeque<Timestamp>,
    /// The next delay, where delays grow.
    delay: Micros,
}

impl Restarts {
    pub fn new(plan: RestartPlan) -> Self {
        let delay = match plan {
            RestartPlan::ExponentialDelay { initial, .. } => initial,
            _ => Micros(0),
        };
        Self { plan, count: 0, recent: VecDeque::new(), delay }
    }

    /// The job has failed at `now`, having run for `ran`: how long to wait before it starts again; `None` = it does not.
    pub fn after_failure(&mut self, now: Timestamp, ran: Micros) -> Option<Micros> {
        self.count = self.count.saturating_add(1);
        match self.plan {
            RestartPlan::Never => None,
            RestartPlan::FixedDelay { attempts, delay } => (self.count <= attempts).then_some(delay),
            RestartPlan::FailureRate { failures_max, interval, delay } => {
                self.recent.push_back(now);
                while self.recent.front().is_some_and(|first| *first + interval <= now) {
                    self.recent.pop_front();
                }
                (self.recent.len() <= failures_max as usize).then_some(delay)
            }
            RestartPlan::ExponentialDelay { initial, max, factor, reset_after } => {
                if ran >= reset_after {
                    self.delay = initial;
                }
                let delay = self.delay;
                self.delay = Micros((delay.0 as f64 * factor) as i64).min(max);
                Some(delay)
            }
        }
    }

    /// How often the job has failed.
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(plan: RestartPlan, failures: &[(i64, i64)]) -> Vec<Option<i64>> {
        let mut restarts = Restarts::new(plan);
        let delay = |(at, ran): &(i64, i64)| restarts.after_failure(Timestamp(*at), Micros(*ran)).map(|delay| delay.0);
        failures.iter().map(delay).collect()
    }

    #[test]
    fn a_fixed_number_of_times() {
        let plan = RestartPlan::FixedDelay { attempts: 2, delay: Micros(7) };
        assert_eq!(delays(plan, &[(0, 0), (1, 0), (2, 0)]), [Some(7), Some(7), None]);
        assert_eq!(delays(RestartPlan::Never, &[(0, 0)]), [None]);
    }

    #[test]
    fn unless_it_fails_too_often() {
        let plan = RestartPlan::FailureRate { failures_max: 2, interval: Micros(10), delay: Micros(1) };
        assert_eq!(delays(plan, &[(0, 0), (5, 0), (10, 0), (14, 0)]), [Some(1), Some(1), Some(1), None]);
    }

    #[test]
    fn delays_grow_until_it_has_run_for_a_while() {
        let plan = RestartPlan::ExponentialDelay {
            initial: Micros(10),
            max: Micros(35),
            factor: 2.0,
            reset_after: Micros(100),
        };
        let runs = [(0, 0), (0, 99), (0, 5), (0, 5), (0, 100), (0, 1)];
        assert_eq!(delays(plan, &runs), [Some(10), Some(20), Some(35), Some(35), Some(10), Some(20)]);
    }
}
