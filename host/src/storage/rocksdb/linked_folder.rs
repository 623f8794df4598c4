//! An instance of links to the files that another one had at a barrier.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::model::fault::Fault;
use crate::state::snapshot::NativeForm;

/// Removed when it is dropped.
pub struct LinkedFolder {
    pub path: PathBuf,
}

impl LinkedFolder {
    /// The names of the files that an instance consists of; the others are notes, locks and the empty log.
    pub fn files(&self) -> Result<BTreeSet<String>, Fault> {
        let names = || -> io::Result<BTreeSet<String>> {
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        let mut names = names().map_err(|error| {
            Fault::unavailable(format!("cannot list the working folder `{}`: {error}", self.path.display()))
        })?;
        names.retain(|name| is_table(name) || name == "CURRENT" || name.starts_with("MANIFEST-"));
        Ok(names)
    }

    /// Those that no instance changes.
    pub fn tables(&self) -> Result<BTreeSet<String>, Fault> {
        let mut names = self.files()?;
        names.retain(|name| is_table(name));
        Ok(names)
    }
}

fn is_table(name: &str) -> bool {
    NativeForm::RocksDb1.never_changes(name)
}

impl Drop for LinkedFolder {
    fn drop(&mut self) {
        // What is left goes with the working folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}
