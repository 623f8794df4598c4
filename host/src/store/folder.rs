//! A folder as a store: whole files only, durable once they have their names.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Less than asked for = the file ends.
pub fn read_range(path: &Path, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    file.take(range.end - range.start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The files in all folders below; names that start with a point are those of files that are being written.
pub fn list_files(root: &Path, folder: &Path, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            list_files(root, &path, found)?;
        } else if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            let key = path.strip_prefix(root).unwrap_or(&path);
            found.push(key.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// The names of what is directly in a folder, and is no folder.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Folders mean nothing here: those that hold nothing go with the last file.
pub fn remove_empty_parents(root: &Path, path: &Path) {
    let parents = path.ancestors().skip(1).take_while(|parent| *parent != root);
    for parent in parents {
        if fs::remove_dir(parent).is_err() {
            break;
        }
    }
}

/// Another host that sweeps may remove a folder while it is empty: so often it is made again.
const CREATE_TRIES: usize = 10;

/// A file under a name that nobody reads.
pub struct Staged {
    pub file: File,
    pub path: PathBuf,
}

impl Staged {
    pub fn create(target: &Path) -> io::Result<Self> {
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // Another host may be writing the same object.
        let path = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
        for _ in 0..CREATE_TRIES {
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder)?,
                created => return Ok(Self { file: created?, path }),
            }
        }
        Ok(Self { file: File::create_new(&path)?, path })
    }

    /// Gives it its name, whoever has it.
    pub fn replace(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        sync_folder(target)
    }

    /// Fails where there is a file of this name.
    pub fn create_new(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::hard_link(&self.path, target)?;
        sync_folder(target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // It has its name, or nobody wants it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A file's name is durable when its folder is, and so are those of new folders.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder)?.sync_all()?;
    match folder.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
