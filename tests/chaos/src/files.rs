//! Reads the files that a sink of the job has made visible.

use anyhow::{Context, Result, ensure};

use crate::oracle::Tally;
use crate::place::Place;

/// Checks all rows of a sink's folder, and that there is nothing else: no part that nobody sees.
pub fn check(folder: &Place, mut tally: Tally<'_>) -> Result<u64> {
    let parts = folder.names()?.into_iter().map(|name| {
        let order = order(&name).with_context(|| format!("`{name}` is no part of the job's output"))?;
        Ok((order, name))
    });
    let mut parts = parts.collect::<Result<Vec<_>>>()?;
    // An account's rows of one start of the job are in the parts of one slot.
    parts.sort();
    for (_, name) in parts {
        let text = folder.read(&name)?;
        ensure!(text.last().is_none_or(|last| *last == b'\n'), "`{name}` has no end");
        for (line, row) in (1..).zip(text.split(|byte| *byte == b'\n').filter(|row| !row.is_empty())) {
            tally.row(row).with_context(|| format!("`{name}`, line {line}"))?;
        }
    }
    tally.finish()?;
    Ok(tally.rows())
}

/// Start, slot and number of `part-<job>.<sink>-<job's id>-2-0-17.jsonl`.
fn order(name: &str) -> Option<[u64; 3]> {
    let mut numbers = name.strip_prefix("part-")?.strip_suffix(".jsonl")?.rsplit('-').map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (number, slot, start) = (next()?, next()?, next()?);
    Some([start, slot, number])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_an_order() {
        assert_eq!(order("part-chaos.booked_files-0b5c-2-0-17.jsonl"), Some([2, 0, 17]));
        assert_eq!(order(".part-chaos.booked_files-0b5c-2-0-17.jsonl.inprogress"), None);
        assert_eq!(order("part-chaos.booked_files.jsonl"), None);
    }
}
