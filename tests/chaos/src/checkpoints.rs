//! What the job leaves in its place in the checkpoint store: one history, and no file that nothing names.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use wasmill::storage::decisions::{Decision, Record};
use wasmill::storage::manifest::{MANIFEST, Manifest, ManifestRef};

use crate::place::Place;

/// Checks a place whose job has finished. Returns how many checkpoints were decided on, as far as it is still known.
pub fn check(place: &Place) -> Result<u64> {
    let files = place.names()?;
    let decisions: Vec<&String> = files.iter().filter(|file| file.starts_with("decisions/")).collect();
    let mut known: BTreeSet<String> = decisions.iter().map(|file| (*file).clone()).collect();
    let records = decisions.iter().map(|file| {
        serde_json::from_slice::<Record>(&place.read(file)?).with_context(|| format!("`{file}` is no decision"))
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

/// Every start goes on from what was decided last, and numbers only grow.
fn check_history(records: &[Record]) -> Result<Vec<&ManifestRef>> {
    let mut decided = Vec::new();
    for (before, record) in records.iter().zip(records.iter().skip(1)) {
        let is_next = match &record.decision {
            Decision::Claim { start } => {
                record.incarnation == before.incarnation + 1 && start.as_ref() == before.decision.state()
            }
            Decision::Complete { manifest } => {
                record.incarnation == before.incarnation && before.decision.state() != Some(manifest)
            }
        };
        ensure!(is_next && record.job_id == before.job_id, "{record:?} does not follow on {before:?}");
        if let Decision::Complete { manifest } = &record.decision {
            ensure!(!decided.contains(&manifest), "{manifest:?} was decided on twice");
            decided.push(manifest);
        }
    }
    Ok(decided)
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
