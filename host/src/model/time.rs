//! Event time and processing time: microseconds since 1970-01-01T00:00:00Z.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, in microseconds, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The watermark of a stream that has said nothing yet.
    pub const MIN: Self = Self(i64::MIN);
    /// The watermark of a stream that has ended.
    pub const MAX: Self = Self(i64::MAX);

    pub fn micros(self) -> i64 {
        self.0
    }
}

/// A length of time, in microseconds. Never negative in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

impl From<Duration> for Micros {
    fn from(length: Duration) -> Self {
        Self(i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Micros> for Duration {
    fn from(length: Micros) -> Self {
        Duration::from_micros(length.0.max(0).unsigned_abs())
    }
}

/// Both ends are absorbing: the end of a stream stays its end.
impl Add<Micros> for Timestamp {
    type Output = Self;
    fn add(self, length: Micros) -> Self {
        match self {
            Self::MIN | Self::MAX => self,
            Self(at) => Self(at.saturating_add(length.0)),
        }
    }
}

impl Sub<Micros> for Timestamp {
    type Output = Self;
    fn sub(self, length: Micros) -> Self {
        match self {
            Self::MIN | Self::MAX => self,
            Self(at) => Self(at.saturating_sub(length.0)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("none"),
            Self::MAX => f.write_str("end"),
            Self(micros) => match chrono::DateTime::from_timestamp_micros(micros) {
                Some(at) => write!(f, "{}", at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
                None => write!(f, "{micros} us"),
            },
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration((*self).into()))
    }
}
