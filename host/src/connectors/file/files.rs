//! The files of a source, on this machine or in an object store, where paths are URLs.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::model::fault::Fault;
use crate::plan::connector::FileSource;
use crate::plan::location::Location;
use crate::store::Store;

use super::paths::{self, Listed};
use super::unavailable;

/// The first piece that is read of an object; each is twice the one before ..
const PIECE_BYTES_MIN: u64 = 64 << 10;
/// .. up to this, which each open split may hold.
const PIECE_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone)]
pub enum Files {
    Local,
    Objects {
        location: Location,
        /// All objects of the source are under it.
        store: Store,
    },
}

impl Files {
    pub fn of(source: &FileSource) -> Result<Self, Fault> {
        let Location::Store { url, .. } = &source.path else { return Ok(Self::Local) };
        let (folder, _) = split_url(url);
        Ok(Self::Objects { store: Store::open(&source.path.elsewhere(folder))?, location: source.path.clone() })
    }

    /// Sorted by name. A bounded source must have one.
    pub fn list(&self, source: &FileSource) -> Result<Vec<Listed>, Fault> {
        let files = match (&source.path, self) {
            (Location::Folder(path), _) => paths::list(path)?,
            (Location::Store { url, .. }, Self::Objects { store, .. }) => list_objects(url, store)?,
            (Location::Store { url, .. }, Self::Local) => {
                return Err(Fault::internal(format!("`{url}` is listed as if it were a folder")));
            }
        };
        if files.is_empty() && !source.follow {
            return Err(Fault::unavailable(format!(
                "`{}` has no files to read (names that start with `.` or `_` do not count)",
                source.path
            )));
        }
        files.iter().try_for_each(|file| paths::refuse_compressed(&file.path))?;
        Ok(files)
    }

    pub fn bytes_of(&self, path: &Path) -> Result<u64, Fault> {
        match self {
            Self::Local => Ok(fs::metadata(path).map_err(|error| unavailable("open", path, &error))?.len()),
            Self::Objects { .. } => {
                let (store, key) = self.object(path)?;
                store.bytes_of(&key)
            }
        }
    }

    pub fn open(&self, path: &Path) -> Result<FileReader, Fault> {
        Ok(match self {
            Self::Local => FileReader::Local(File::open(path).map_err(|error| unavailable("open", path, &error))?),
            Self::Objects { .. } => {
                let (store, key) = self.object(path)?;
                let bytes = store.bytes_of(&key)?;
                FileReader::Object(ObjectReader::new(store, key, bytes))
            }
        })
    }

    /// A checkpoint may know objects of another place than the source reads now.
    pub fn object(&self, path: &Path) -> Result<(Store, String), Fault> {
        let url = path.to_string_lossy();
        let Self::Objects { location, store } = self else {
            return Err(Fault::invalid(format!("`{url}` is not a file of this source")));
        };
        match url.strip_prefix(store.name()).and_then(|rest| rest.strip_prefix('/')) {
            Some(key) => Ok((store.clone(), key.to_owned())),
            None => {
                let (folder, name) = url.rsplit_once('/').unwrap_or((&url, ""));
                Ok((Store::open(&location.elsewhere(folder))?, name.to_owned()))
            }
        }
    }
}

/// The folder that a URL is in, or the last one before a pattern, and the rest.
fn split_url(url: &str) -> (&str, &str) {
    let literal = url.find(['*', '?', '[']).unwrap_or(url.len());
    match url[..literal].rfind('/') {
        Some(at) if !url[..at].ends_with('/') => (&url[..at], &url[at + 1..]),
        _ => (url, ""),
    }
}

/// Those that a URL means: of an object, of all directly under a prefix, or of a pattern.
fn list_objects(url: &str, store: &Store) -> Result<Vec<Listed>, Fault> {
    let (_, rest) = split_url(url);
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
    let pattern =
        |text: &str| Pattern::new(text).map_err(|error| Fault::invalid(format!("`{url}` is not a pattern: {error}")));
    let is_pattern = rest.contains(['*', '?', '[']);
    let found = if is_pattern { store.list_objects("")? } else { store.list_objects(rest)? };
    let wanted = if is_pattern { pattern(rest)? } else { pattern(&format!("{}*", in_folder(rest)))? };
    let mut files: Vec<Listed> = found
        .into_iter()
        .filter(|object| wanted.matches_with(&object.key, options) && !paths::is_hidden(Path::new(&object.key)))
        .map(|object| Listed { path: PathBuf::from(store.name_of(&object.key)), bytes: object.bytes })
        .collect();
    if files.is_empty() && !is_pattern && !rest.is_empty() {
        files.push(Listed { path: PathBuf::from(store.name_of(rest)), bytes: store.bytes_of(rest)? });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn in_folder(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{}/", Pattern::escape(name)) }
}

/// A file that is read from some place on.
pub enum FileReader {
    Local(File),
    Object(ObjectReader),
}

impl FileReader {
    pub fn local(&self) -> Option<&File> {
        match self {
            Self::Local(file) => Some(file),
            Self::Object(_) => None,
        }
    }

    pub fn seek(&mut self, offset: u64) -> io::Result<()> {
        match self {
            Self::Local(file) => file.seek(SeekFrom::Start(offset)).map(drop),
            Self::Object(object) => {
                object.seek(offset);
                Ok(())
            }
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, free: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(free),
            Self::Object(object) => object.read(free),
        }
    }
}

/// Reads an object in pieces.
pub struct ObjectReader {
    store: Store,
    key: String,
    bytes: u64,
    /// The piece that was fetched last, from `taken` on not given yet.
    piece: Vec<u8>,
    taken: usize,
    /// Where the next piece starts.
    next: u64,
    piece_bytes: u64,
}

impl ObjectReader {
    pub fn new(store: Store, key: String, bytes: u64) -> Self {
        Self { store, key, bytes, piece: Vec::new(), taken: 0, next: 0, piece_bytes: PIECE_BYTES_MIN }
    }

    pub fn seek(&mut self, offset: u64) {
        (self.next, self.taken) = (offset, 0);
        self.piece.clear();
    }
}

impl Read for ObjectReader {
    fn read(&mut self, free: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() {
            let end = self.bytes.min(self.next + self.piece_bytes);
            if self.next >= end {
                return Ok(0);
            }
            let piece = self.store.get_range(&self.key, self.next..end);
            (self.piece, self.taken) = (piece.map_err(|fault| io::Error::other(fault.message))?, 0);
            self.next = end;
            self.piece_bytes = (self.piece_bytes * 2).min(PIECE_BYTES_MAX);
        }
        let given = free.len().min(self.piece.len() - self.taken);
        free[..given].copy_from_slice(&self.piece[self.taken..self.taken + given]);
        self.taken += given;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_folder_and_what_is_wanted_of_it() {
        assert_eq!(split_url("s3://bucket/a/b.json"), ("s3://bucket/a", "b.json"));
        assert_eq!(split_url("s3://bucket/a/*/b?.json"), ("s3://bucket/a", "*/b?.json"));
        assert_eq!(split_url("s3://bucket/*.json"), ("s3://bucket", "*.json"));
        assert_eq!(split_url("s3://bucket/a"), ("s3://bucket", "a"));
        assert_eq!(split_url("s3://bucket"), ("s3://bucket", ""));
    }
}
