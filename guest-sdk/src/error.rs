//! Why an operator refused something.

use std::fmt;

/// Why a row, a timer or a configuration was refused. Made from a message or from any standard error, so `?` and
/// `Err("no such account".into())` both work.
pub struct Error(Box<dyn std::error::Error>);

/// What an operator says of one row: `Err` refuses the row. Its outputs, state writes and timers are undone, and it
/// goes to the job's dead letters with the reason; the rows around it are unaffected.
pub type Outcome = Result<(), Error>;

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
