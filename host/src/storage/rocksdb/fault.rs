//! RocksDB's errors, for the person who must act.

use std::path::Path;

use rocksdb::{Error, ErrorKind};

use crate::model::fault::Fault;

/// `error` came of the instance in `folder`.
pub fn fault(folder: &Path, error: &Error) -> Fault {
    let at = folder.display();
    let text = error.as_ref();
    if is_full(text) {
        return Fault::unavailable(format!(
            "the disk of the working folder `{at}` is full, or its quota is: make room, or set `path` of `[state]` to a \
             folder on a larger disk ({text})"
        ));
    }
    match error.kind() {
        ErrorKind::Corruption => Fault::unavailable(format!(
            "a file of state in the working folder `{at}` is damaged: {text}. It is made anew when the job starts again; \
             if it is damaged then too, start from an older checkpoint, and check the disk"
        )),
        _ => Fault::unavailable(format!("RocksDB cannot go on in the working folder `{at}`: {text}")),
    }
}

/// RocksDB hands on what the operating system says.
fn is_full(text: &str) -> bool {
    ["No space left on device", "File too large", "Disk quota exceeded"].iter().any(|full| text.contains(full))
}
