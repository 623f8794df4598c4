//! The same calls again and again.

use crate::bindings::wasmill::operator::calls::{Batch, Step};
use crate::bindings::wasmill::operator::columns::Column;
use crate::process::{Instance, Process};

/// Calls an operator without a key again and again, natively, and nothing besides: for benchmarks of its code. See
/// [`Drive::repeat`](super::Drive::repeat).
pub struct Repeat<P: Process> {
    instance: Instance<P>,
    batches: Vec<Batch>,
    next: usize,
}

impl<P: Process> Repeat<P> {
    pub(super) fn new(
        instance: Instance<P>,
        reads_times: bool,
        batches: impl Iterator<Item = (Vec<Column>, Vec<i64>)>,
    ) -> Self {
        let batches = batches.map(|(columns, times)| Batch {
            input: 0,
            rows: times.len() as u32,
            times: if reads_times { times } else { Vec::new() },
            columns,
            groups: 0,
            row_groups: Vec::new(),
            keys: Vec::new(),
            states: Vec::new(),
            watermark: i64::MIN,
            processing_time: 0,
        });
        Self { instance, batches: batches.collect(), next: 0 }
    }

    /// One call, with the next of the batches; after the last comes the first. Returns how many rows came out.
    pub fn call(&mut self) -> usize {
        let step = self.instance.on_borrowed(&self.batches[self.next], Vec::new());
        self.next = (self.next + 1) % self.batches.len();
        let Step { outputs, .. } = std::hint::black_box(step);
        outputs.iter().map(|output| output.rows as usize).sum()
    }
}
