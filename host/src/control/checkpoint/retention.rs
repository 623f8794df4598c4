//! What earlier starts of a job left in its store: checkpoints that are still to be kept, and garbage.

use std::cmp::Reverse;
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

/// What a start of the job knows of the checkpoints that it finds.
pub struct Scope<'a> {
    /// This start. What later ones have written is theirs: whoever sweeps may have been asleep since its claim.
    pub incarnation: u64,
    /// `None` = a person has chosen where the job starts, and any checkpoint may still be needed.
    pub last: Option<Last>,
    /// What the job starts from: it stays until there is a newer one.
    pub origin: Option<&'a Manifest>,
    /// So many of the newest are kept.
    pub retained: usize,
}

/// The newest checkpoint that counts.
#[derive(Clone, Copy)]
pub struct Last {
    pub checkpoint: u64,
    /// The start that decided on it or was made from it: newer ones of this start and later ones were never decided on. Those
    /// of earlier starts were passed over when a person chose an older one.
    pub incarnation: u64,
}

impl Scope<'_> {
    fn is_origin(&self, manifest: &Manifest) -> bool {
        let id = |manifest: &Manifest| (manifest.job_id, manifest.incarnation, manifest.checkpoint);
        self.origin.is_some_and(|origin| id(origin) == id(manifest))
    }

    fn counts(&self, manifest: &Manifest) -> bool {
        self.last.is_none_or(|last| manifest.checkpoint <= last.checkpoint)
    }

    fn was_passed_over(&self, manifest: &Manifest) -> bool {
        self.last.is_some_and(|last| manifest.incarnation < last.incarnation)
    }
}

/// Savepoints are the user's; but of one whose host died before it had a manifest, nobody has heard. Returns the largest
/// number in use.
fn sweep_savepoints(store: &Store, incarnation: u64) -> Result<u64, Fault> {
    let keys = store.list(SAVEPOINTS)?;
    let folders: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('/').nth(1)).collect();
    let mut highest = 0;
    for folder in folders {
        let folder = format!("{SAVEPOINTS}/{folder}/");
        let Some((start, number)) = begun(&folder) else { continue };
        highest = highest.max(number);
        let own: Vec<&String> = keys.iter().filter(|key| key.starts_with(&folder)).collect();
        if start <= incarnation && own.iter().all(|key| !key.ends_with(MANIFEST)) {
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

/// Deletes every file under `checkpoints/` that belongs neither to one of the newest checkpoints that count, nor to the
/// origin, nor to one that may still be needed, nor to a later start. A manifest that cannot be read is left alone, with all
/// that it may name, and warned of. Only to be called after the claim: earlier, the files might be another host's.
pub fn sweep(store: &Store, scope: &Scope<'_>) -> Result<Swept, Fault> {
    let is_of_later = |key: &String| begun(key).is_some_and(|(start, _)| start > scope.incarnation);
    let keys: Vec<String> = store.list(CHECKPOINTS)?.into_iter().filter(|key| !is_of_later(key)).collect();
    // A host that was asleep while it was succeeded may have left one that has the number of a newer host's: it was never
    // decided on, and must not take that one's place.
    let mut found: BTreeMap<u64, (u64, Kept)> = BTreeMap::new();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut origin = None;
    let mut highest = sweep_savepoints(store, scope.incarnation)?;
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
        let kept = kept(key, &manifest, bytes.len() as u64);
        if scope.is_origin(&manifest) {
            origin = Some(manifest.checkpoint);
            wanted.extend(kept.files.iter().map(|file| file.key.clone()));
        }
        if scope.counts(&manifest) {
            let newest = found.get(&manifest.checkpoint).map_or(0, |(incarnation, _)| *incarnation);
            if manifest.incarnation > newest {
                found.insert(manifest.checkpoint, (manifest.incarnation, kept));
            }
        } else if scope.was_passed_over(&manifest) {
            wanted.extend(kept.files.into_iter().map(|file| file.key));
        }
    }
    let surplus = found.len().saturating_sub(scope.retained);
    let kept = found
        .into_values()
        .enumerate()
        .filter(|(place, (_, kept))| *place >= surplus || origin == Some(kept.checkpoint.0));
    let mut kept: Vec<Kept> = kept.map(|(_, (_, kept))| kept).collect();
    wanted.extend(kept.iter().flat_map(|kept| &kept.files).map(|file| file.key.clone()));
    for key in keys.iter().filter(|key| !wanted.contains(*key) && !left_alone.contains(key)) {
        store.delete(key)?;
    }
    // Nor are they deleted when newer checkpoints come.
    kept.iter_mut().for_each(|kept| kept.files.retain(|file| !left_alone.contains(&file.key)));
    Ok(Swept { kept, highest })
}

fn kept(key: &str, manifest: &Manifest, manifest_bytes: u64) -> Kept {
    let reference = ManifestRef { path: key.to_owned(), sha256: String::new() };
    let files = manifest.files().map(|file| StateFile { key: reference.resolve(&file.path), bytes: file.bytes });
    let own = StateFile { key: key.to_owned(), bytes: manifest_bytes };
    Kept { checkpoint: CheckpointId(manifest.checkpoint), files: files.chain([own]).collect() }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::plan::location::Location;

    fn manifest(incarnation: u64, checkpoint: u64) -> Manifest {
        Manifest::new("job", Uuid::nil(), incarnation, CheckpointId(checkpoint), 8)
    }

    fn write(store: &Store, incarnation: u64, checkpoint: u64) {
        let folder = format!("{CHECKPOINTS}/{incarnation}-{checkpoint}");
        manifest(incarnation, checkpoint).write(store, &folder).unwrap();
        store.put(&format!("{folder}/unnamed.state"), Vec::new()).unwrap();
    }

    fn left(store: &Store) -> Vec<String> {
        let folder = |key: String| key.split('/').nth(1).unwrap().to_owned();
        let keys: BTreeSet<String> = store.list(CHECKPOINTS).unwrap().into_iter().map(folder).collect();
        keys.into_iter().collect()
    }

    #[test]
    fn what_a_later_start_writes_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        [(1, 4), (1, 5), (10, 6)].into_iter().for_each(|(start, number)| write(&store, start, number));
        store.put("checkpoints/10-7/half.state", Vec::new()).unwrap();
        store.put("savepoints/10-8/half.state", Vec::new()).unwrap();
        // Number 2 was asleep since its claim.
        let last = Some(Last { checkpoint: 5, incarnation: 1 });
        let swept = sweep(&store, &Scope { incarnation: 2, last, origin: None, retained: 1 }).unwrap();
        assert_eq!(swept.kept.iter().map(|kept| kept.checkpoint.0).collect::<Vec<_>>(), [5]);
        assert_eq!(left(&store), ["1-5", "10-6", "10-7"]);
        assert_eq!(store.list(SAVEPOINTS).unwrap(), ["savepoints/10-8/half.state"]);
        assert_eq!(store.list("checkpoints/10-6").unwrap().len(), 2);
    }

    #[test]
    fn what_a_person_has_chosen_stays_and_so_does_what_was_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        [(1, 7), (1, 8), (1, 9)].into_iter().for_each(|(start, number)| write(&store, start, number));
        let origin = manifest(1, 8);
        let scope = Scope { incarnation: 2, last: None, origin: Some(&origin), retained: 1 };
        let swept = sweep(&store, &scope).unwrap();
        assert_eq!(swept.kept.iter().map(|kept| kept.checkpoint.0).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(left(&store), ["1-8", "1-9"]);
        // It starts again before it has decided: from what it had claimed.
        write(&store, 2, 10);
        let last = Some(Last { checkpoint: 8, incarnation: 2 });
        sweep(&store, &Scope { incarnation: 3, last, ..scope }).unwrap();
        assert_eq!(left(&store), ["1-8", "1-9"]);
        // And once it has, everything older goes.
        write(&store, 3, 11);
        let last = Some(Last { checkpoint: 11, incarnation: 3 });
        sweep(&store, &Scope { incarnation: 4, last, origin: Some(&manifest(3, 11)), retained: 1 }).unwrap();
        assert_eq!(left(&store), ["3-11"]);
    }

    #[test]
    fn what_cannot_be_read_is_left_alone_with_all_that_it_may_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        for (start, number) in [(1, 1), (2, 2), (2, 4), (3, 5), (3, 6)] {
            write(&store, start, number);
        }
        store.put("checkpoints/2-3/manifest.json", b"{\"format\": 9}".to_vec()).unwrap();
        store.put("checkpoints/2-3/count.0.state", Vec::new()).unwrap();
        store.put("checkpoints/3-7/count.0.state", Vec::new()).unwrap();
        let scope = |checkpoint, incarnation, retained| {
            let last = Some(Last { checkpoint, incarnation });
            Scope { incarnation: 12, last, origin: None, retained }
        };
        let swept = sweep(&store, &scope(6, 3, 2)).unwrap();
        assert_eq!(swept.kept.iter().map(|kept| kept.checkpoint.0).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(
            swept.kept.iter().map(|kept| kept.files.len()).sum::<usize>(),
            2,
            "the manifests, which name nothing"
        );
        assert_eq!(left(&store), ["1-1", "2-2", "2-3", "3-5", "3-6"]);

        // What it may name is not deleted later either.
        let swept = sweep(&store, &scope(2, 2, 1)).unwrap();
        assert_eq!((swept.highest, swept.kept.len()), (6, 1));
        assert!(swept.kept[0].checkpoint == CheckpointId(2) && swept.kept[0].files.is_empty());
        assert_eq!(left(&store), ["1-1", "2-2", "2-3"]);

        // Whose folder says nothing of when it was begun may name anything.
        store.put("checkpoints/strange/manifest.json", b"{}".to_vec()).unwrap();
        write(&store, 9, 9);
        sweep(&store, &scope(2, 2, 1)).unwrap();
        assert_eq!(left(&store), ["1-1", "2-2", "2-3", "9-9", "strange"]);
        assert_eq!(store.list("checkpoints/2-2").unwrap().len(), 2, "files of no manifest too");
        assert!(store.get("checkpoints/2-3/count.0.state").unwrap().is_some());
    }

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
        for (incarnation, checkpoint) in [(11, 2), (9, 2), (2, 1), (11, 1), (3, 1), (11, 3)] {
            write(&store, incarnation, checkpoint);
        }
        store.put("savepoints/11-7/half.state", Vec::new()).unwrap();
        store.put("savepoints/5/manifest.json", Vec::new()).unwrap();
        store.put("savepoints/11-6/manifest.json", Vec::new()).unwrap();
        store.put("savepoints/release-8/half.state", Vec::new()).unwrap();
        let last = Some(Last { checkpoint: 2, incarnation: 11 });
        let swept = sweep(&store, &Scope { incarnation: 12, last, origin: None, retained: 2 }).unwrap();
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
