//! The local folder of a running job. Each start of a job has one of its own within the configured folder, and removes
//! those whose owner is gone; a lock says that it is not.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::model::fault::Fault;

const LOCK: &str = "lock";

/// Removed when it is dropped.
pub struct WorkingFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkingFolder {
    /// Makes one in `parent`.
    pub fn create(parent: &Path) -> Result<Self, Fault> {
        remove_abandoned(parent);
        let path = parent.join(Uuid::new_v4().to_string());
        let create = || {
            // Locked before it has its name: nobody must find it without an owner.
            let staged = parent.join(format!(".{}", Uuid::new_v4()));
            fs::create_dir_all(&staged)?;
            let lock = File::create_new(staged.join(LOCK))?;
            lock.try_lock().map_err(std::io::Error::from)?;
            fs::rename(&staged, &path)?;
            Ok(lock)
        };
        let lock = create().map_err(|error: std::io::Error| {
            Fault::unavailable(format!(
                "cannot create a working folder for state in `{}`: {error}; `path` of `[state]` says where it is",
                parent.display()
            ))
        })?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkingFolder {
    fn drop(&mut self) {
        // What is left, the next start removes.
        let _ = fs::remove_dir_all(&self.path);
        // It stays if it holds anything else.
        let _ = self.path.parent().map(fs::remove_dir);
    }
}

/// A folder beside that of an instance, for something of it.
pub fn beside(instance: &Path, what: &str) -> PathBuf {
    // Not `with_extension`: the name ends with a slot's number behind a point.
    let mut name = instance.as_os_str().to_owned();
    name.push(format!(".{what}"));
    name.into()
}

/// Removes the folders of starts that are no more. One that cannot be removed costs room and nothing else.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let is_ours = folder.file_name().is_some_and(|name| Uuid::parse_str(&name.to_string_lossy()).is_ok());
        let Some(lock) = is_ours.then(|| File::open(folder.join(LOCK)).ok()).flatten() else { continue };
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_removes_what_others_left_and_not_what_they_use() {
        let parent = tempfile::tempdir().unwrap();
        let used = WorkingFolder::create(parent.path()).unwrap();
        let abandoned = parent.path().join(Uuid::new_v4().to_string());
        fs::create_dir(&abandoned).unwrap();
        File::create(abandoned.join(LOCK)).unwrap();
        let not_ours = parent.path().join("photos");
        fs::create_dir(&not_ours).unwrap();
        let second = WorkingFolder::create(parent.path()).unwrap();
        assert!(used.path().exists() && second.path().exists() && not_ours.exists() && !abandoned.exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists() && second.path().exists());
        fs::remove_dir(not_ours).unwrap();
        drop(second);
        assert!(!parent.path().exists());
    }
}
