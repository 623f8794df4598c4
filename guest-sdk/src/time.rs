//! Instants and spans: microseconds in 64 bits, as everywhere in Wasmill.

use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A span of time in microseconds, which may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

/// A day: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// The window of an aggregate: from `start` until just before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// the first instant in it
    pub start: Timestamp,
    /// the first instant after it
    pub end: Timestamp,
}

/// So many microseconds.
pub const fn micros(micros: i64) -> Duration {
    Duration(micros)
}

/// So many milliseconds.
pub const fn millis(millis: i64) -> Duration {
    Duration(millis * 1_000)
}

/// So many seconds.
pub const fn seconds(seconds: i64) -> Duration {
    Duration(seconds * 1_000_000)
}

/// So many minutes.
///
/// ```
/// use wasmill_sdk::prelude::*;
/// assert_eq!(Timestamp(0) + minutes(2), Timestamp(120_000_000));
/// ```
pub const fn minutes(minutes: i64) -> Duration {
    seconds(minutes * 60)
}

/// So many hours.
pub const fn hours(hours: i64) -> Duration {
    minutes(hours * 60)
}

/// So many days of 24 hours.
pub const fn days(days: i64) -> Duration {
    hours(days * 24)
}

impl Timestamp {
    /// Before every other: the watermark when nothing is known yet.
    pub const MIN: Self = Self(i64::MIN);
    /// After every other: the watermark at the end of all input.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds since 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    /// Stops at the ends of time instead of wrapping.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    /// Stops at the ends of time instead of wrapping.
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, other: Self) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl SubAssign<Duration> for Timestamp {
    fn sub_assign(&mut self, span: Duration) {
        *self = *self - span;
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<i64> for Duration {
    type Output = Self;
    fn mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Neg for Duration {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}
