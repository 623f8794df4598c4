//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::oracle::Expected;

#[derive(Debug, Default)]
pub struct Report {
    /// What happened, and how often.
    hits: BTreeMap<String, u32>,
    /// Processes that were started.
    pub starts: u32,
    /// That were decided on, as far as the log goes back.
    pub checkpoints: u64,
    rows: BTreeMap<&'static str, u64>,
    took: Duration,
}

impl Report {
    pub fn hit(&mut self, what: impl Into<String>) {
        *self.hits.entry(what.into()).or_default() += 1;
    }

    /// Everything has come out.
    pub fn count(&mut self, expected: &Expected, took: Duration) {
        let rows = [
            ("payments booked", expected.booked_rows()),
            ("turnovers", expected.turnover_rows()),
            ("dead letters", expected.dead_letters()),
        ];
        self.rows = rows.into();
        self.took = took;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hits.iter().try_for_each(|(what, hits)| writeln!(f, "{hits:>10}  {what}"))?;
        writeln!(f, "{:>10}  starts of the job", self.starts)?;
        writeln!(f, "{:>10}  checkpoints decided", self.checkpoints)?;
        self.rows.iter().try_for_each(|(what, rows)| writeln!(f, "{rows:>10}  {what}"))?;
        write!(f, "{:>10.0}  seconds", self.took.as_secs_f64())
    }
}
