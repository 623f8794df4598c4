//! Which files of this machine a path means.

use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::dataplane::split::SplitState;
use crate::model::fault::Fault;
use crate::plan::connector::FileSource;

use super::split::Place;
use super::unavailable;

pub struct Listed {
    /// Of an object its URL.
    pub path: PathBuf,
    pub bytes: u64,
}

/// The files of this machine that the path of a source means, whether or not they are there.
pub struct NamedFiles {
    path: PathBuf,
    pattern: Pattern,
}

impl NamedFiles {
    pub fn of(source: &FileSource) -> Result<Self, Fault> {
        let path = absolute(Path::new(&source.path.to_string()))?;
        let text = path.to_string_lossy();
        // A path that is no pattern means itself, and is asked for in `has`.
        let pattern = Pattern::new(&text).or_else(|_| Pattern::new(&Pattern::escape(&text)));
        let pattern = pattern.map_err(|error| Fault::invalid(format!("`{text}` is not a pattern: {error}")))?;
        Ok(Self { path, pattern })
    }

    /// The file of a split; `None` = it was read to its end, or is no file's.
    pub fn path_of(split: &SplitState) -> Option<PathBuf> {
        Place::parse(split.position.as_ref()?, split).ok().map(|place| place.range.path)
    }

    pub fn has(&self, file: &Path) -> bool {
        let Ok(file) = absolute(file) else { return false };
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        file == self.path
            || file.parent() == Some(self.path.as_path())
            || self.pattern.matches_path_with(&file, options)
    }
}

pub fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(path).map_err(|error| unavailable("find", path, &error))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Micros;
    use crate::plan::connector::Format;
    use crate::plan::location::Location;

    #[test]
    fn a_path_means_a_file_or_those_of_a_folder_or_of_a_pattern() {
        let has = |path: &str, file: &str| {
            let (path, discover_interval) = (Location::Folder(path.into()), Micros(1));
            let source = FileSource { path, format: Format::Raw, split_bytes: 1, follow: true, discover_interval };
            NamedFiles::of(&source).unwrap().has(Path::new(file))
        };
        assert!(has("logs", "logs/a.log") && has("./logs/", "logs/a.log") && has("logs/a.log", "logs/a.log"));
        assert!(!has("logs", "logs/old/a.log") && !has("logs", "other/a.log"));
        assert!(has("*/a*.log", "logs/a1.log") && has("logs/**/*.log", "logs/old/a.log"));
        assert!(!has("*.log", "logs/a.log") && !has("logs/b*.log", "logs/a.log"));
        let folder = std::env::current_dir().unwrap().join("logs");
        assert!(has(&folder.to_string_lossy(), "logs/a.log"));
    }
}
