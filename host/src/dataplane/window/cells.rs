//! What a native aggregate remembers of a group, and how it takes in one more value or another group.

use std::cmp::Ordering;

use super::durable::Durable;

/// The accumulator of one group; the default one has seen nothing.
pub trait Cell: Clone + Default + Durable {
    /// `wins` is the order of a better value to a worse one: less for a minimum.
    fn merge(&mut self, other: &Self, wins: Ordering);
}

impl Cell for u64 {
    fn merge(&mut self, other: &Self, _: Ordering) {
        *self += other;
    }
}

/// A sum and how many values it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum<T> {
    pub sum: T,
    pub count: u64,
}

/// The sum of integers, or of the digits of decimals. It is exact: 2^64 integers of 64 bits fit. Decimals may leave
/// it, and then it stays `OVERFLOWED`.
pub type ExactSum = Sum<i128>;

pub const OVERFLOWED: i128 = i128::MIN;

impl ExactSum {
    #[inline]
    pub fn add_integer(&mut self, value: i128) {
        self.sum += value;
        self.count += 1;
    }

    #[inline]
    pub fn add_decimal(&mut self, value: i128) {
        self.sum = add_or_overflow(self.sum, value);
        self.count += 1;
    }
}

fn add_or_overflow(a: i128, b: i128) -> i128 {
    if a == OVERFLOWED || b == OVERFLOWED { OVERFLOWED } else { a.checked_add(b).unwrap_or(OVERFLOWED) }
}

impl Cell for ExactSum {
    fn merge(&mut self, other: &Self, _: Ordering) {
        self.sum = add_or_overflow(self.sum, other.sum);
        self.count += other.count;
    }
}

/// A sum of floats and what rounding took from it (Neumaier), so that it hardly depends on the order of the values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compensated {
    pub(super) sum: f64,
    pub(super) lost: f64,
}

impl Compensated {
    #[inline]
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    pub fn value(self) -> f64 {
        // Beyond the finite numbers, what was lost is not a number.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl Sum<Compensated> {
    #[inline]
    pub fn add_float(&mut self, value: f64) {
        self.sum.add(value);
        self.count += 1;
    }
}

impl Cell for Sum<Compensated> {
    fn merge(&mut self, other: &Self, _: Ordering) {
        self.sum.add(other.sum.sum);
        self.sum.lost += other.sum.lost;
        self.count += other.count;
    }
}

/// A value of which there is a best: the smallest or the largest.
pub trait Ranked: Clone {
    fn rank(&self, other: &Self) -> Ordering;
}

macro_rules! ranked {
    ($($type:ty),*) => {
        $(impl Ranked for $type {
            #[inline]
            fn rank(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        })*
    };
}

ranked!(i64, u64, i128, Box<[u8]>);

/// As keys are ordered: one zero, and one NaN above all numbers.
impl Ranked for f64 {
    #[inline]
    fn rank(&self, other: &Self) -> Ordering {
        let canonical = |value: f64| if value.is_nan() { f64::NAN.copysign(1.0) } else { value + 0.0 };
        canonical(*self).total_cmp(&canonical(*other))
    }
}

/// Makes `value` the best if it is.
#[inline]
pub fn offer<T: Ranked>(best: &mut Option<T>, value: T, wins: Ordering) {
    if best.as_ref().is_none_or(|best| value.rank(best) == wins) {
        *best = Some(value);
    }
}

/// The same for bytes, which are copied only when they win.
pub fn offer_bytes(best: &mut Option<Box<[u8]>>, value: &[u8], wins: Ordering) {
    if best.as_deref().is_none_or(|best| value.cmp(best) == wins) {
        *best = Some(value.into());
    }
}

impl<T: Ranked + Durable> Cell for Option<T> {
    fn merge(&mut self, other: &Self, wins: Ordering) {
        if let Some(value) = other
            && self.as_ref().is_none_or(|best| value.rank(best) == wins)
        {
            *self = Some(value.clone());
        }
    }
}
