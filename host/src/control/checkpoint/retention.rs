//! What earlier starts of a job left in its store: checkpoints that are still to be kept, and garbage.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::checkpoint::CheckpointId;
use crate::model::decision::ManifestRef;
use crate::model::fault::Fault;
use crate::storage::manifest::{MANIFEST, Manifest};
use crate::store::Store;

use super::record::{CHECKPOINTS, SAVEPOINTS, StateFile, begun};

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
        let folder = format!("{SAVEPOINTS}/{folder}/");
        let Some((_, number)) = begun(&folder) else { continue };
        highest = highest.max(number);
        let own: Vec<&String> = keys.iter().filter(|key| key.starts_with(&folder)).collect();
        if own.iter().all(|key| !key.ends_with(MANIFEST)) {
            own.into_iter().try_for_each(|key| store.delete(key))?;
        }
    }
    Ok(highest)
}

/// What is left alone because manifests that cannot be read may name it: the files of all checkpoints that were begun
/// before them, and their own. No checkpoint names files of a later one.
#[derive(Default)]
struct LeftAlone(Option<(u64, u64)>);

impl LeftAlone {
    fn add(&mut self, manifest: &str) {
        self.0 = self.0.max(Some(begun(manifest).unwrap_or((u64::MAX, u64::MAX))));
    }

    fn contains(&self, key: &str) -> bool {
        self.0.is_some_and(|last| begun(key).is_none_or(|begun| begun <= last))
    }
}

/// Deletes every file under `checkpoints/` that belongs to none of the newest `retained` complete checkpoints. `last`
/// is the newest that counts: what is newer was never decided on. A manifest that cannot be read is left alone, with all
/// that it may name, and warned of. Only to be called after the claim: earlier, the files might be another host's.
pub fn sweep(store: &Store, last: u64, retained: usize) -> Result<Swept, Fault> {
    let keys = store.list(CHECKPOINTS)?;
    // A host that was asleep while it was succeeded may have left one that has the number of a newer host's: it was never
    // decided on, and must not take that one's place.
    let mut found: BTreeMap<u64, (u64, Kept)> = BTreeMap::new();
    let mut highest = sweep_savepoints(store)?;
    let mut left_alone = LeftAlone::default();
    for key in keys.iter().filter(|key| key.ends_with(&format!("/{MANIFEST}"))) {
        let Some(bytes) = store.get(key)? else { continue };
        let manifest = match Manifest::parse(&bytes, &store.name_of(key)) {
            Ok(manifest) => manifest,
            Err(fault) => {
                tracing::warn!(
                    "{fault}. It is left alone, and so is what stood in `{CHECKPOINTS}` before it: if nobody needs it, \
                     delete its folder"
                );
                left_alone.add(key);
                highest = highest.max(begun(key).map_or(0, |(_, number)| number));
                continue;
            }
        };
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
    for key in keys.iter().filter(|key| !wanted.contains(key.as_str()) && !left_alone.contains(key)) {
        store.delete(key)?;
    }
    // Nor are they deleted when newer checkpoints come.
    kept.iter_mut().for_each(|kept| kept.files.retain(|file| !left_alone.contains(&file.key)));
    Ok(Swept { kept, highest })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::plan::location::Location;

    fn write(store: &Store, incarnation: u64, checkpoint: u64) {
        let manifest = Manifest::new("job", Uuid::nil(), incarnation, CheckpointId(checkpoint), 8);
        let folder = format!("{CHECKPOINTS}/{incarnation}-{checkpoint}");
        store.put(&format!("{folder}/count.0.state"), b"state".to_vec()).unwrap();
        manifest.write(store, &folder).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_left_alone_with_all_that_it_may_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        for (incarnation, checkpoint) in [(1, 1), (2, 2), (2, 4), (3, 5), (3, 6)] {
            write(&store, incarnation, checkpoint);
        }
        store.put("checkpoints/2-3/manifest.json", b"{\"format\": 9}".to_vec()).unwrap();
        store.put("checkpoints/2-3/count.0.state", Vec::new()).unwrap();
        store.put("checkpoints/3-7/count.0.state", Vec::new()).unwrap();
        let swept = sweep(&store, 6, 2).unwrap();
        let files = |kept: &Kept| kept.files.iter().map(|file| file.key.clone()).collect::<Vec<_>>();
        assert_eq!(swept.kept.iter().map(|kept| kept.checkpoint.0).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(swept.kept.iter().flat_map(files).count(), 2, "the manifests, which name nothing");
        let folders = || {
            let keys = store.list(CHECKPOINTS).unwrap();
            keys.iter().filter_map(|key| begun(key)).collect::<BTreeSet<_>>()
        };
        assert_eq!(folders(), BTreeSet::from([(1, 1), (2, 2), (2, 3), (3, 5), (3, 6)]));

        // What it may name is not deleted later either.
        let swept = sweep(&store, 2, 1).unwrap();
        assert_eq!((swept.highest, swept.kept.len()), (6, 1));
        assert!(swept.kept[0].checkpoint == CheckpointId(2) && swept.kept[0].files.is_empty());
        assert_eq!(folders(), BTreeSet::from([(1, 1), (2, 2), (2, 3)]));

        // Whose folder says nothing of when it was begun may name anything.
        store.put("checkpoints/strange/manifest.json", b"{}".to_vec()).unwrap();
        write(&store, 9, 9);
        sweep(&store, 2, 1).unwrap();
        assert_eq!(folders(), BTreeSet::from([(1, 1), (2, 2), (2, 3), (9, 9)]));
        assert!(store.get("checkpoints/2-3/count.0.state").unwrap().is_some());
    }

    #[test]
    fn what_a_sleeper_left_under_the_same_number_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        for (incarnation, checkpoint) in [(11, 2), (9, 2), (2, 1), (11, 1), (3, 1), (11, 3)] {
            write(&store, incarnation, checkpoint);
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
