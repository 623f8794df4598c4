//! Where files are: on this machine or in an object store.

use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder; of a source also a file or a pattern.
    Folder(PathBuf),
    /// Such as `s3://bucket/path`, with the options of its store (`aws_region = "..."`).
    Store { url: String, options: Vec<(String, String)> },
}

impl Location {
    /// What a person writes: a URL, or a path that starts at `folder`.
    pub fn parse(folder: &Path, text: &str, options: Vec<(String, String)>) -> Self {
        match text.split_once("://") {
            None => Self::Folder(folder.join(text)),
            Some(("file", path)) => Self::Folder(path.into()),
            Some(_) => Self::Store { url: text.trim_end_matches('/').to_owned(), options },
        }
    }

    /// What a place of this URL, somewhere else, is reached with: the same options, if it is in a store of the same kind.
    pub fn options_for(&self, other: &str) -> Vec<(String, String)> {
        fn kind(url: &str) -> Option<&str> {
            url.split_once("://").map(|(kind, _)| kind)
        }
        match self {
            Self::Store { url, options } if kind(url) == kind(other) => options.clone(),
            _ => Vec::new(),
        }
    }

    /// The place of this text, reached with the same options.
    pub fn elsewhere(&self, text: &str) -> Self {
        let options = match self {
            Self::Folder(_) => Vec::new(),
            Self::Store { options, .. } => options.clone(),
        };
        Self::parse(Path::new(""), text, options)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Store { url, .. } => f.write_str(url),
        }
    }
}
