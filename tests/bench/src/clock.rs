//! Samples of CPU time, taken in turns.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a sample takes, about.
const SAMPLE: Duration = Duration::from_millis(40);

/// Something to measure: each call deals with some events.
pub struct Side<'a> {
    call: Box<dyn FnMut() + 'a>,
    calls: u32,
}

impl<'a> Side<'a> {
    /// Runs it until it is warm, and finds out how many calls make a sample.
    pub fn new(call: impl FnMut() + 'a) -> Self {
        let mut side = Self { call: Box::new(call), calls: 1 };
        loop {
            let taken = side.run();
            if taken * 2 >= SAMPLE {
                side.calls = (f64::from(side.calls) * SAMPLE.div_duration_f64(taken)).max(1.0) as u32;
                return side;
            }
            side.calls *= 2;
        }
    }

    fn run(&mut self) -> Duration {
        let start = cpu_time();
        (0..self.calls).for_each(|_| (self.call)());
        cpu_time() - start
    }

    fn nanoseconds_a_call(&mut self) -> f64 {
        self.run().as_secs_f64() * 1e9 / f64::from(self.calls)
    }
}

/// For each side the median of its samples, in nanoseconds a call. The sides take turns, so that a machine that gets
/// slower gets slower for all of them.
pub fn medians<const N: usize>(mut sides: [Side<'_>; N], samples: usize) -> [f64; N] {
    let mut taken = [const { Vec::new() }; N];
    for _ in 0..samples {
        for (side, taken) in sides.iter_mut().zip(&mut taken) {
            taken.push(side.nanoseconds_a_call());
        }
    }
    taken.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        taken[taken.len() / 2]
    })
}

/// This thread's: what else the machine does is not counted.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
