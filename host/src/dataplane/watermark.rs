//! Watermarks: made from data, combined by minimum.

use crate::model::time::{Micros, Timestamp};

/// Bounded out-of-orderness (as Flink's `BoundedOutOfOrdernessWatermarks`): the largest time seen, minus the delay,
/// minus one, so that an event exactly `delay` behind the latest is not late.
#[derive(Clone, Copy, Debug)]
pub struct BoundedOutOfOrderness {
    delay: Micros,
    latest: Timestamp,
}

impl BoundedOutOfOrderness {
    pub fn new(delay: Micros) -> Self {
        Self { delay, latest: Timestamp::MIN }
    }

    /// The largest time seen; `Timestamp::MIN` = none was.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Goes on as if `latest` had been seen.
    pub fn restore(&mut self, latest: Timestamp) {
        self.latest = self.latest.max(latest);
    }

    pub fn observe(&mut self, times: impl Iterator<Item = i64>) {
        if let Some(latest) = times.max() {
            self.latest = self.latest.max(Timestamp(latest));
        }
    }

    pub fn watermark(&self) -> Timestamp {
        self.latest - self.delay - Micros(1)
    }
}

/// The watermark of a node with several inputs (as Flink's `StatusWatermarkValve`): the smallest of those that are
/// neither idle nor ended. It never falls.
#[derive(Clone, Debug)]
pub struct WatermarkMerge {
    gates: Vec<Gate>,
    watermark: Timestamp,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    watermark: Timestamp,
    state: GateState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GateState {
    Active,
    Idle,
    Ended,
}

/// What an input's news means for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Watermark(Timestamp),
    Idle,
    /// Every input has ended.
    End,
}

impl WatermarkMerge {
    pub fn new(gates: usize) -> Self {
        let gate = Gate { watermark: Timestamp::MIN, state: GateState::Active };
        Self { gates: vec![gate; gates], watermark: Timestamp::MIN, idle: false }
    }

    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Goes on from a checkpoint, at whose barrier the watermark was this one: what the inputs said is not kept, and
    /// they say it again.
    pub fn restore(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
        self.gates.iter_mut().for_each(|gate| gate.watermark = watermark);
    }

    /// An event came: the input is not idle.
    pub fn on_event(&mut self, gate: usize) {
        if self.gates[gate].state == GateState::Idle {
            self.gates[gate].state = GateState::Active;
        }
        self.idle = false;
    }

    pub fn on_watermark(&mut self, gate: usize, watermark: Timestamp) -> Option<Change> {
        self.on_event(gate);
        let gate = &mut self.gates[gate];
        gate.watermark = gate.watermark.max(watermark);
        self.change()
    }

    pub fn on_idle(&mut self, gate: usize) -> Option<Change> {
        if self.gates[gate].state == GateState::Active {
            self.gates[gate].state = GateState::Idle;
        }
        self.change()
    }

    pub fn on_end(&mut self, gate: usize) -> Option<Change> {
        self.gates[gate].state = GateState::Ended;
        self.change()
    }

    fn change(&mut self) -> Option<Change> {
        let active = self.gates.iter().filter(|gate| gate.state == GateState::Active);
        match active.map(|gate| gate.watermark).min() {
            Some(watermark) if watermark > self.watermark => {
                self.watermark = watermark;
                Some(Change::Watermark(watermark))
            }
            Some(_) => None,
            None if self.gates.iter().all(|gate| gate.state == GateState::Ended) => Some(Change::End),
            None => (!std::mem::replace(&mut self.idle, true)).then_some(Change::Idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_exactly_the_delay_behind_is_not_late() {
        let mut watermarks = BoundedOutOfOrderness::new(Micros(5));
        assert_eq!(watermarks.watermark(), Timestamp::MIN);
        watermarks.observe([7, 20, 3].into_iter());
        assert_eq!(watermarks.watermark(), Timestamp(14));
        watermarks.observe([1].into_iter());
        assert_eq!(watermarks.watermark(), Timestamp(14));
    }

    #[test]
    fn the_slowest_active_input_decides() {
        let mut merge = WatermarkMerge::new(2);
        assert_eq!(merge.on_watermark(0, Timestamp(10)), None);
        assert_eq!(merge.on_watermark(1, Timestamp(4)), Some(Change::Watermark(Timestamp(4))));
        assert_eq!(merge.on_idle(1), Some(Change::Watermark(Timestamp(10))));
        // Back from idleness and behind: the watermark stays, its events are late.
        assert_eq!(merge.on_watermark(1, Timestamp(6)), None);
        assert_eq!(merge.on_end(0), None);
        assert_eq!(merge.on_idle(1), Some(Change::Idle));
        assert_eq!(merge.on_idle(1), None);
        assert_eq!(merge.on_watermark(1, Timestamp(12)), Some(Change::Watermark(Timestamp(12))));
        assert_eq!(merge.on_end(1), Some(Change::End));
    }
}
