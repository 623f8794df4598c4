//! What earlier starts of a job left in its store: checkpoints that are still to be kept, and garbage.

use std::collections::BTreeSet;

use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;
use crate::storage::manifest::{MANIFEST, Manifest, ManifestRef};
use crate::store::Store;

use super::record::{CHECKPOINTS, StateFile};

/// A checkpoint of an earlier start.
pub struct Kept {
    pub checkpoint: CheckpointId,
    /// Its manifest and the files that it names.
    pub files: BTreeSet<StateFile>,
}

pub struct Swept {
    /// The newest last.
    pub kept: Vec<Kept>,
    /// The largest number of a checkpoint that was there; 0 = none was.
    pub highest: u64,
}

/// Deletes every file under `checkpoints/` that belongs to none of the newest `retained` complete checkpoints. `last`
/// is the newest that counts: what is newer was never decided on. Only to be called after the claim: earlier, the files
/// might be another host's.
pub fn sweep(store: &Store, last: u64, retained: usize) -> Result<Swept, Fault> {
    let keys = store.list(CHECKPOINTS)?;
    let (mut kept, mut highest) = (Vec::new(), 0);
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
            let files = files.chain([own]).collect();
            kept.push((manifest.incarnation, Kept { checkpoint: CheckpointId(manifest.checkpoint), files }));
        }
    }
    // A host that is taken for dead may still write a manifest, of a number that its successor uses too.
    kept.sort_by_key(|(incarnation, kept)| (*incarnation, kept.checkpoint));
    let mut kept: Vec<Kept> = kept.into_iter().map(|(_, kept)| kept).collect();
    kept.drain(..kept.len().saturating_sub(retained));
    let wanted: BTreeSet<&str> = kept.iter().flat_map(|kept| &kept.files).map(|file| file.key.as_str()).collect();
    for key in keys.iter().filter(|key| !wanted.contains(key.as_str())) {
        store.delete(key)?;
    }
    Ok(Swept { kept, highest })
}
