//! What the job leaves in its place in the checkpoint store: one history, and no file that nothing names.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use wasmill::model::decision::{Decision, ManifestRef, Record};
use wasmill::storage::manifest::{MANIFEST, Manifest};

use crate::place::Place;

/// Checks a place whose job has finished. Returns how many checkpoints were decided on, as far as it is still known.
pub fn check(place: &Place) -> Result<u64> {
    let files = place.names()?;
    let decisions: Vec<&String> = files.iter().filter(|file| file.starts_with("decisions/")).collect();
    let mut known: BTreeSet<String> = decisions.iter().map(|file| (*file).clone()).collect();
    let records = decisions.iter().map(|file| {
        Record::parse(&place.read(file)?).map_err(|error| anyhow::anyhow!("`{file}` is no decision: {error}"))
    });
    let records = records.collect::<Result<Vec<Record>>>()?;
    let decided = check_history(&records)?;
    for manifest in files.iter().filter(|file| file.ends_with(MANIFEST)) {
        let reference = decided.iter().find(|reference| reference.path == *manifest);
        let reference = reference.with_context(|| format!("`{manifest}` was never decided on"))?;
        known.insert(manifest.clone());
        known.extend(named(&place.read(manifest)?, reference)?);
    }
    let unknown: Vec<&String> = files.difference(&known).collect();
    ensure!(unknown.is_empty(), "no decided manifest names {unknown:?}");
    Ok(decided.len() as u64)
}

/// Starts are counted, and what the job goes on from only ever gets newer. Returns everything that was decided on. What was
/// decided in a transaction may be missing in the log: then the next start goes on from it.
fn check_history(records: &[Record]) -> Result<Vec<&ManifestRef>> {
    let mut decided: Vec<&ManifestRef> = Vec::new();
    for (before, record) in records.iter().zip(records.iter().skip(1)) {
        let is_start = matches!(record.decision, Decision::Claim { .. });
        let is_next = record.incarnation == before.incarnation + u64::from(is_start) && record.job_id == before.job_id;
        let (old, new) = (before.decision.state(), record.decision.state());
        let is_same = is_start && old == new;
        let is_newer = match (old.map(number).transpose()?, new.map(number).transpose()?) {
            (Some((_, old)), Some((start, new))) => new > old && start == before.incarnation,
            (None, Some((start, _))) => start == before.incarnation,
            (_, None) => false,
        };
        ensure!(is_next && (is_same || is_newer), "{record:?} does not follow on {before:?}");
        decided.extend(new.filter(|_| !is_same));
    }
    decided.extend(records.first().and_then(|first| first.decision.state()));
    Ok(decided)
}

/// The start of the job that made a checkpoint, and its number: of `checkpoints/3-17/manifest.json`.
fn number(manifest: &ManifestRef) -> Result<(u64, u64)> {
    let name = manifest.folder().rsplit('/').next().and_then(|name| name.split_once('-'));
    let numbers = name.and_then(|(start, number)| Some((start.parse().ok()?, number.parse().ok()?)));
    numbers.with_context(|| format!("`{}` is no checkpoint", manifest.path))
}

/// The files that a manifest names, as keys within the job's place.
fn named(manifest: &[u8], reference: &ManifestRef) -> Result<Vec<String>> {
    let manifest = Manifest::parse(manifest, &reference.path).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let slots = manifest.nodes.iter().flat_map(|node| &node.slots);
    let files = slots.flat_map(|slot| {
        let native = slot.native.iter().flat_map(|native| &native.files).map(|native| &native.file);
        slot.files.iter().chain(native)
    });
    Ok(files.map(|file| reference.resolve(&file.path)).collect())
}

#[cfg(test)]
mod tests {
    use wasmill::model::decision::{Decision, ManifestRef, Record, Start};

    use super::*;

    fn manifest(start: u64, number: u64) -> ManifestRef {
        ManifestRef { path: format!("checkpoints/{start}-{number}/manifest.json"), sha256: String::new() }
    }

    #[test]
    fn there_is_one_history() {
        let record = |incarnation, decision| Record::new(&Start { incarnation, ..Start::default() }, decision);
        let claim = |start, from: Option<ManifestRef>| record(start, Decision::Claim { start: from });
        let complete = |start, number| record(start, Decision::Complete { manifest: manifest(start, number) });
        let good = [
            claim(1, None),
            complete(1, 1),
            claim(2, Some(manifest(1, 1))),
            // 2-2 was decided in a transaction.
            claim(3, Some(manifest(2, 2))),
            complete(3, 3),
        ];
        assert_eq!(check_history(&good).unwrap().len(), 3);
        let bad = [complete(1, 1), complete(2, 4), claim(2, None), claim(3, Some(manifest(2, 2))), complete(1, 0)];
        for bad in bad {
            assert!(check_history(&[good[1].clone(), bad.clone()]).is_err(), "{bad:?}");
        }
        assert!(number(&ManifestRef { path: "savepoints/7".to_owned(), sha256: String::new() }).is_err());
    }
}
