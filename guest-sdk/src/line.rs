//! Events that are lines of text.

use wasmill_sdk_derive::Record;

/// What a source whose `format` is `raw` gives: each line is an event.
#[derive(Record, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// its text, without the line end
    pub line: &'a str,
}
