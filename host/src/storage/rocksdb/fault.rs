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
        // It may be a link to a checkpoint's.
        ErrorKind::Corruption => Fault::unrestorable(format!(
            "a file of state in the working folder `{at}` is damaged: {text}. Check the disk. The next start makes the \
             folder anew from the last checkpoint; if that ends here too, its file whose name ends so is damaged"
        )),
        _ => Fault::unavailable(format!("RocksDB cannot go on in the working folder `{at}`: {text}")),
    }
}

/// RocksDB hands on what the operating system says.
fn is_full(text: &str) -> bool {
    ["No space left on device", "File too large", "Disk quota exceeded"].iter().any(|full| text.contains(full))
}
