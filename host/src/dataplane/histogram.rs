//! How the values of a metric are distributed, in a fixed amount of memory: counts in buckets that grow with the values,
//! eight to each power of two, so that a quantile is at most an eighth too high.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Eight: the first bits of a float's fraction.
const BUCKETS_PER_OCTAVE_BITS: u32 = 3;
/// Values from 2^-32 on have buckets of their own, up to 2^64; smaller ones share the first, larger ones the last.
const EXPONENT_MIN: i32 = -32;
const OCTAVES: usize = 96;
const BUCKETS: usize = (OCTAVES << BUCKETS_PER_OCTAVE_BITS) + 2;

/// 6 KiB. Written by one slot; read by anybody at any time.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    /// Bits of floats.
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(f64::INFINITY.to_bits()),
            max: AtomicU64::new(f64::NEG_INFINITY.to_bits()),
        }
    }
}

impl Histogram {
    /// What is not a number is left out.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let change = |bits: &AtomicU64, to: f64| bits.store(to.to_bits(), Relaxed);
        let bucket = &self.buckets[bucket_of(value)];
        bucket.store(bucket.load(Relaxed) + 1, Relaxed);
        change(&self.sum, float(&self.sum) + value);
        change(&self.min, float(&self.min).min(value));
        change(&self.max, float(&self.max).max(value));
    }

    /// Adds what it holds now to `distribution`.
    pub fn add_to(&self, distribution: &mut Distribution) {
        distribution.buckets.resize(BUCKETS, 0);
        for (sum, bucket) in distribution.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        distribution.sum += float(&self.sum);
        distribution.min = distribution.min.min(float(&self.min));
        distribution.max = distribution.max.max(float(&self.max));
    }
}

fn float(bits: &AtomicU64) -> f64 {
    f64::from_bits(bits.load(Relaxed))
}

fn bucket_of(value: f64) -> usize {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    if value < 2f64.powi(EXPONENT_MIN) {
        return 0;
    }
    // Of positive floats, the bits are in the order of the values.
    let place = |value: f64| (value.to_bits() >> (FRACTION_BITS - BUCKETS_PER_OCTAVE_BITS)) as usize;
    (place(value) - place(2f64.powi(EXPONENT_MIN)) + 1).min(BUCKETS - 1)
}

/// Where the bucket ends.
fn end_of(bucket: usize) -> f64 {
    let octave = bucket >> BUCKETS_PER_OCTAVE_BITS;
    let part = bucket & ((1 << BUCKETS_PER_OCTAVE_BITS) - 1);
    let fraction = 1.0 + part as f64 / f64::from(1 << BUCKETS_PER_OCTAVE_BITS);
    fraction * 2f64.powi(EXPONENT_MIN + octave as i32)
}

/// What histograms held when they were read.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    buckets: Vec<u64>,
    sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { buckets: Vec::new(), sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Distribution {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.count().max(1) as f64
    }

    /// A value that the part `quantile` (0 to 1) of all values does not exceed; an eighth higher than it need be at
    /// most, for values from 2^-32 to 2^64. `None` = there were no values.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        let wanted = (quantile * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|values| {
            seen += values;
            seen >= wanted
        });
        let bucket = bucket.filter(|_| count > 0)?;
        let end = if bucket == BUCKETS - 1 { self.max } else { end_of(bucket) };
        Some(end.clamp(self.min, self.max))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distribution(values: &[f64]) -> Distribution {
        let (one, two) = (Histogram::default(), Histogram::default());
        for (i, value) in values.iter().enumerate() {
            if i % 2 == 0 { one.observe(*value) } else { two.observe(*value) }
        }
        let mut distribution = Distribution::default();
        one.add_to(&mut distribution);
        two.add_to(&mut distribution);
        distribution
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_an_eighth_too_high(
            mut values in prop::collection::vec(prop_oneof![1e-9..1e-3, 0.1..50.0, 1e3..1e19], 1..200),
            quantile in 0.0..=1.0,
        ) {
            let found = distribution(&values).quantile(quantile).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[((quantile * values.len() as f64).ceil() as usize).max(1) - 1];
            prop_assert!(exact <= found && found <= exact * 1.125, "{found}, not {exact}");
        }

        #[test]
        fn any_float_has_its_place(values in prop::collection::vec(any::<f64>(), 0..50)) {
            let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            let distribution = distribution(&values);
            prop_assert_eq!(distribution.count(), numbers.len() as u64);
            prop_assert_eq!(distribution.quantile(1.0), numbers.iter().copied().reduce(f64::max));
        }
    }
}
