//! What earlier starts of a job left in its store: checkpoints that are still to be kept, and garbage.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::checkpoint::CheckpointId;
use crate::model::decision::ManifestRef;
use crate::model::fault::Fault;
use crate::storage::manifest::{MANIFEST, Manifest};
use crate::store::Store;

use super::record::{CHECKPOINTS, SAVEPOINTS, StateFile};

/// A checkpoint of an earlier start.
pub struct Kept {
    pub checkpoint: CheckpointId,
    /// Its manifest and the files that it names.
    pub files: BTreeSet<StateFile>,
}

pub struct Swept {
    /// The newest last.
    pub kept: Vec<Kept>,
    /// The largest number of a checkpoint or savepoint that was there; 0 = none was.
    pub highest: u64,
}

/// Savepoints are the user's; but of one whose host died before it had a manifest, nobody has heard. Returns the largest
/// number in use.
fn sweep_savepoints(store: &Store) -> Result<u64, Fault> {
    let keys = store.list(SAVEPOINTS)?;
    let folders: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('/').nth(1)).collect();
    let mut highest = 0;
    for folder in folders {
        let Some(number) = savepoint_number(folder) else { continue };
        highest = highest.max(number);
        let folder = format!("{SAVEPOINTS}/{folder}/");
        let own: Vec<&String> = keys.iter().filter(|key| key.starts_with(&folder)).collect();
        if own.iter().all(|key| !key.ends_with(MANIFEST)) {
            own.into_iter().try_for_each(|key| store.delete(key))?;
        }
    }
    Ok(highest)
}

/// Of a folder that no person has named.
fn savepoint_number(folder: &str) -> Option<u64> {
    // Once the start did not stand in front.
    let (start, number) = folder.split_once('-').unwrap_or(("0", folder));
    start.parse::<u64>().ok().and(number.parse().ok())
}

/// How many checkpoints a message names.
const NAMED_MAX: usize = 10;

/// Refuses a place that has checkpoints and not one decision. A claim stands there before anything else does, so decisions
/// have been lost: the job would start from nothing, and `sweep` all that it could go on from.
pub fn refuse_undecided(store: &Store) -> Result<(), Fault> {
    let mut found = Vec::new();
    for prefix in [CHECKPOINTS, SAVEPOINTS] {
        for key in store.list(prefix)? {
            let folder = key.strip_suffix(MANIFEST).and_then(|folder| folder.strip_suffix('/'));
            found.extend(folder.map(|folder| store.name_of(folder)));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    // The newest first.
    found.sort_by_key(|folder| Reverse(folder.rsplit('-').next().and_then(|number| number.parse::<u64>().ok())));
    let more = found.len().saturating_sub(NAMED_MAX);
    found.truncate(NAMED_MAX);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    Err(Fault::invalid(format!(
        "`{}` has checkpoints, but nothing says which of them counts: its folder `decisions` is gone. Bring that back, say \
         with `--from` where to start, or start from nothing with `--fresh`. There are:\n  {}{more}",
        store.name(),
        found.join("\n  ")
    )))
}

/// Deletes every file under `checkpoints/` that belongs to none of the newest `retained` complete checkpoints. `last`
/// is the newest that counts: what is newer was never decided on. Only to be called after the claim: earlier, the files
/// might be another host's.
pub fn sweep(store: &Store, last: u64, retained: usize) -> Result<Swept, Fault> {
    let keys = store.list(CHECKPOINTS)?;
    // A host that was asleep while it was succeeded may have left one that has the number of a newer host's: it was never
    // decided on, and must not take that one's place.
    let mut found: BTreeMap<u64, (u64, Kept)> = BTreeMap::new();
    let mut highest = sweep_savepoints(store)?;
    for key in keys.iter().filter(|key| key.ends_with(&format!("/{MANIFEST}"))) {
        let Some(bytes) = store.get(key)? else { continue };
        // One that cannot be read is left alone, and so are all files: it may name any of them.
        let manifest = Manifest::parse(&bytes, &store.name_of(key))?;
        highest = highest.max(manifest.checkpoint);
        if manifest.checkpoint <= last {
            let reference = ManifestRef { path: key.clone(), sha256: String::new() };
            let files =
                manifest.files().map(|file| StateFile { key: reference.resolve(&file.path), bytes: file.bytes });
            let own = StateFile { key: key.clone(), bytes: bytes.len() as u64 };
            let kept = Kept { checkpoint: CheckpointId(manifest.checkpoint), files: files.chain([own]).collect() };
            let newest = found.get(&manifest.checkpoint).map_or(0, |(incarnation, _)| *incarnation);
            if manifest.incarnation > newest {
                found.insert(manifest.checkpoint, (manifest.incarnation, kept));
            }
        }
    }
    let mut kept: Vec<Kept> = found.into_values().map(|(_, kept)| kept).collect();
    kept.drain(..kept.len().saturating_sub(retained));
    let wanted: BTreeSet<&str> = kept.iter().flat_map(|kept| &kept.files).map(|file| file.key.as_str()).collect();
    for key in keys.iter().filter(|key| !wanted.contains(key.as_str())) {
        store.delete(key)?;
    }
    Ok(Swept { kept, highest })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::plan::location::Location;

    #[test]
    fn checkpoints_without_any_decision_are_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        refuse_undecided(&store).unwrap();
        // What a host left that died before its first checkpoint was complete.
        store.put("checkpoints/1-1/half.state", Vec::new()).unwrap();
        refuse_undecided(&store).unwrap();
        for number in 2..20 {
            store.put(&format!("checkpoints/1-{number}/manifest.json"), Vec::new()).unwrap();
        }
        let refused = refuse_undecided(&store).unwrap_err().message;
        for part in ["/checkpoints/1-19\n", "/checkpoints/1-10\n", "and 8 more", "--from", "--fresh"] {
            assert!(refused.contains(part), "`{part}` is missing in: {refused}");
        }
    }

    #[test]
    fn what_a_sleeper_left_under_the_same_number_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        let write = |incarnation: u64, checkpoint| {
            let manifest = Manifest::new("job", Uuid::nil(), incarnation, CheckpointId(checkpoint), 8);
            manifest.write(&store, &format!("{CHECKPOINTS}/{incarnation}-{checkpoint}")).unwrap();
        };
        for (incarnation, checkpoint) in [(11, 2), (9, 2), (2, 1), (11, 1), (3, 1), (11, 3)] {
            write(incarnation, checkpoint);
        }
        store.put("savepoints/11-7/half.state", Vec::new()).unwrap();
        store.put("savepoints/5/manifest.json", Vec::new()).unwrap();
        store.put("savepoints/11-6/manifest.json", Vec::new()).unwrap();
        store.put("savepoints/release-8/half.state", Vec::new()).unwrap();
        let swept = sweep(&store, 2, 2).unwrap();
        assert_eq!(swept.highest, 7);
        let kept: Vec<u64> = swept.kept.iter().map(|kept| kept.checkpoint.0).collect();
        assert_eq!(kept, [1, 2]);
        let mut keys = store.list(CHECKPOINTS).unwrap();
        keys.sort();
        assert_eq!(keys, ["checkpoints/11-1/manifest.json", "checkpoints/11-2/manifest.json"]);
        let mut savepoints = store.list(SAVEPOINTS).unwrap();
        savepoints.sort();
        assert_eq!(
            savepoints,
            ["savepoints/11-6/manifest.json", "savepoints/5/manifest.json", "savepoints/release-8/half.state"]
        );
    }
}
