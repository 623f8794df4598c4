//! What a node counts. Written by one slot, a few times a batch; read by anybody at any time.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::model::time::Timestamp;

use super::histogram::Histogram;

#[derive(Debug)]
pub struct NodeMetrics {
    pub records_in: AtomicU64,
    pub records_out: AtomicU64,
    pub late_records: AtomicU64,
    pub dead_letters: AtomicU64,
    watermark: AtomicI64,
    /// Negative = not known.
    lag: AtomicI64,
    /// Sum of the operator's own counters, by their number in its descriptor.
    pub counters: Vec<AtomicU64>,
    /// The same for its histograms.
    pub histograms: Vec<Histogram>,
}

impl NodeMetrics {
    /// For so many counters and histograms of the operator's own.
    pub fn new(counters: usize, histograms: usize) -> Self {
        Self {
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            late_records: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            watermark: AtomicI64::new(Timestamp::MIN.0),
            lag: AtomicI64::new(-1),
            counters: (0..counters).map(|_| AtomicU64::new(0)).collect(),
            histograms: (0..histograms).map(|_| Histogram::default()).collect(),
        }
    }

    pub fn watermark(&self) -> Timestamp {
        Timestamp(self.watermark.load(Relaxed))
    }

    /// Events that wait for a source to read them, if its connector knows.
    pub fn lag(&self) -> Option<u64> {
        u64::try_from(self.lag.load(Relaxed)).ok()
    }

    pub fn set_lag(&self, lag: u64) {
        self.lag.store(i64::try_from(lag).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn set_watermark(&self, watermark: Timestamp) {
        self.watermark.store(watermark.0, Relaxed);
    }
}
