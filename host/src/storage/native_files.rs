//! Files of a backend's own in a checkpoint.

use std::ops::Range;
use std::path::Path;

use crate::model::fault::Fault;
use crate::state::snapshot::{NativeFiles, NativeForm};

use super::manifest::{NativeFileRecord, NativeRecord};
use crate::store::{PutFile, Store};

/// Those that one slot left.
pub struct StoredFiles {
    store: Store,
    form: NativeForm,
    groups: Range<u16>,
    files: Vec<StoredFile>,
}

struct StoredFile {
    name: String,
    key: String,
    expected: PutFile,
}

impl StoredFiles {
    /// `key` says where in the store a path of the manifest is.
    pub fn new(store: &Store, record: &NativeRecord, key: impl Fn(&str) -> String) -> Self {
        let file = |record: &NativeFileRecord| StoredFile {
            name: record.name.clone(),
            key: key(&record.file.path),
            expected: PutFile {
                bytes: record.file.bytes,
                checksum: record.checksum.as_ref().and_then(|hex| u64::from_str_radix(hex, 16).ok()),
            },
        };
        let files = record.files.iter().map(file).collect();
        Self { store: store.clone(), form: record.form, groups: record.groups.clone(), files }
    }
}

impl NativeFiles for StoredFiles {
    fn form(&self) -> NativeForm {
        self.form
    }

    fn groups(&self) -> Range<u16> {
        self.groups.clone()
    }

    fn fetch(&self, folder: &Path) -> Result<(), Fault> {
        for file in &self.files {
            // A manifest is data: a name must not lead out of the folder.
            if file.name.contains(['/', '\\']) || file.name == ".." {
                return Err(Fault::unrestorable(format!("the manifest has a file of state called `{}`", file.name)));
            }
            let may_link = self.form.never_changes(&file.name);
            self.store.get_file(&file.key, file.expected, &folder.join(&file.name), may_link)?;
        }
        Ok(())
    }
}
