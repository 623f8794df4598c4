//! Reads the files that a sink of the job has made visible.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::oracle::Tally;

/// Checks all rows of a folder, and that there is nothing else: no part that nobody sees.
pub fn check(folder: &Path, mut tally: Tally<'_>) -> Result<u64> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(place) = place(&name) else { bail!("{} is no part of the job's output", path.display()) };
        parts.push((place, path));
    }
    // An account's rows of one start of the job are in the parts of one slot.
    parts.sort();
    for (_, path) in parts {
        let text = fs::read(&path)?;
        ensure!(text.last().is_none_or(|last| *last == b'\n'), "{} has no end", path.display());
        for (line, row) in (1..).zip(text.split(|byte| *byte == b'\n').filter(|row| !row.is_empty())) {
            tally.row(row).with_context(|| format!("{}, line {line}", path.display()))?;
        }
    }
    tally.finish().with_context(|| folder.display().to_string())?;
    Ok(tally.rows())
}

/// Incarnation, slot and number of `part-2-0-17.jsonl`.
fn place(name: &str) -> Option<[u64; 3]> {
    let numbers = name.strip_prefix("part-")?.split('.').next()?;
    let numbers: Vec<u64> = numbers.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_a_place() {
        assert_eq!(place("part-2-0-17.jsonl"), Some([2, 0, 17]));
        assert_eq!(place(".part-2-0-17.jsonl.inprogress"), None);
        assert_eq!(place("part-2-0.jsonl"), None);
    }
}
