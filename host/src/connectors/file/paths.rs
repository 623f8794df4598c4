//! Which files of this machine a path means.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::fault::Fault;

use super::unavailable;

pub struct Listed {
    /// Of an object its URL.
    pub path: PathBuf,
    pub bytes: u64,
}

/// By name.
pub fn list(path: &Path) -> Result<Vec<Listed>, Fault> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => in_directory(path),
        Ok(meta) => Ok(vec![Listed { path: path.to_owned(), bytes: meta.len() }]),
        Err(_) if is_pattern(path) => matching(path),
        Err(error) => Err(unavailable("open", path, &error)),
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn in_directory(directory: &Path) -> Result<Vec<Listed>, Fault> {
    let entries = fs::read_dir(directory).map_err(|error| unavailable("list", directory, &error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> =
        paths.collect::<Result<_, _>>().map_err(|error| unavailable("list", directory, &error))?;
    regular(paths)
}

fn matching(pattern: &Path) -> Result<Vec<Listed>, Fault> {
    let text = pattern.to_string_lossy();
    let found = glob::glob(&text).map_err(|error| Fault::invalid(format!("`{text}` is not a pattern: {error}")))?;
    let paths: Vec<PathBuf> =
        found.collect::<Result<_, _>>().map_err(|error| unavailable("list", error.path(), error.error()))?;
    regular(paths)
}

/// Those that are files and not hidden, by name.
fn regular(mut paths: Vec<PathBuf>) -> Result<Vec<Listed>, Fault> {
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if is_hidden(&path) {
            continue;
        }
        let meta = fs::metadata(&path).map_err(|error| unavailable("open", &path, &error))?;
        if meta.is_file() {
            files.push(Listed { path, bytes: meta.len() });
        }
    }
    Ok(files)
}

pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(['.', '_']))
}

pub fn refuse_compressed(path: &Path) -> Result<(), Fault> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !["gz", "zst", "bz2", "xz", "lz4", "zip"].contains(&&*extension) {
        return Ok(());
    }
    Err(Fault::invalid(format!(
        "`{}` is compressed, which the file source cannot read yet: decompress it first",
        path.display()
    )))
}
