//! Where files are kept: a folder, or an object store. Blocking: callers are threads that may wait.
//!
//! What `put` returned `Ok` for is durable. A folder is written by us and not by `object_store`, which does not sync.

mod folder;
mod remote;
mod upload;
mod whole_file;
mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::model::fault::Fault;
use crate::plan::location::Location;

use folder::{Staged, list_files, read_range, remove_empty_parents};
use remote::Remote;

pub use upload::{Prepared, Upload};
pub use whole_file::PutFile;
pub use writer::ObjectWriter;

/// Of an upload in parts: stores want at least 5 MiB, and 10,000 of them at most.
const PART_BYTES: usize = 8 << 20;

/// A path within a store: parts joined by `/`, relative to the store's root.
pub type Key = str;

#[derive(Clone)]
pub struct Store {
    inner: Inner,
    /// Its path or URL.
    name: String,
    /// That it was opened with.
    options: Vec<(String, String)>,
}

#[derive(Clone)]
enum Inner {
    Folder(PathBuf),
    Remote(Remote),
}

/// What came of `put_new`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Yes,
    /// There is something of this name.
    Exists,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub bytes: u64,
}

impl Store {
    /// Creates the folder, if it is one.
    pub fn open(location: &Location) -> Result<Self, Fault> {
        match location {
            Location::Folder(path) => {
                let fault =
                    |error| Fault::unavailable(format!("cannot create the folder `{}`: {error}", path.display()));
                fs::create_dir_all(path).map_err(fault)?;
                let path = fs::canonicalize(path).map_err(fault)?;
                Ok(Self { name: path.display().to_string(), inner: Inner::Folder(path), options: Vec::new() })
            }
            Location::Store { url, options } => {
                let inner = Inner::Remote(Remote::open(url, options)?);
                Ok(Self { inner, name: url.trim_end_matches('/').to_owned(), options: options.clone() })
            }
        }
    }

    /// The same for what is only to be read: a folder is not created. `None` = there is none.
    pub fn open_existing(location: &Location) -> Result<Option<Self>, Fault> {
        match location {
            Location::Folder(path) if !path.is_dir() => Ok(None),
            location => Self::open(location).map(Some),
        }
    }

    /// A store that is open already; it has no uploads that outlive the process.
    pub fn of(store: Arc<dyn ObjectStore>, name: &str) -> Result<Self, Fault> {
        let remote = Remote::of(store, None, ObjectPath::default())?;
        Ok(Self { inner: Inner::Remote(remote), name: name.to_owned(), options: Vec::new() })
    }

    /// The part of the store under a prefix.
    pub fn under(&self, prefix: &Key) -> Self {
        let inner = match &self.inner {
            Inner::Folder(path) => Inner::Folder(path.join(prefix)),
            Inner::Remote(remote) => Inner::Remote(remote.under(prefix)),
        };
        Self { inner, name: format!("{}/{prefix}", self.name), options: self.options.clone() }
    }

    /// Its path or URL: `Location::parse` makes the same place of it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, and how it is reached.
    pub fn location(&self) -> Location {
        match &self.inner {
            Inner::Folder(path) => Location::Folder(path.clone()),
            Inner::Remote(_) => Location::Store { url: self.name.clone(), options: self.options.clone() },
        }
    }

    /// The full name of an object, for people.
    pub fn name_of(&self, key: &Key) -> String {
        format!("{}/{key}", self.name)
    }

    fn fault(&self, what: &str, key: &Key, error: impl std::fmt::Display) -> Fault {
        Fault::unavailable(format!("cannot {what} `{}`: {error}", self.name_of(key)))
    }

    /// Writes an object, or replaces it.
    pub fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), Fault> {
        match &self.inner {
            Inner::Folder(root) => {
                let path = root.join(key);
                let written = Staged::create(&path).and_then(|mut staged| {
                    staged.file.write_all(&bytes)?;
                    staged.replace(&path)
                });
                written.map_err(|error| self.fault("write", key, error))
            }
            Inner::Remote(remote) => {
                let (store, path) = remote.at(key);
                let put = remote.wait(async move { store.put(&path, PutPayload::from(bytes)).await });
                put.map(drop).map_err(|error| self.fault("write", key, error))
            }
        }
    }

    /// Writes an object unless there is one of this name. After an error it may be there or not.
    pub fn put_new(&self, key: &Key, bytes: Vec<u8>) -> Result<Created, Fault> {
        match &self.inner {
            Inner::Folder(root) => {
                let path = root.join(key);
                let written = Staged::create(&path).and_then(|mut staged| {
                    staged.file.write_all(&bytes)?;
                    staged.create_new(&path)
                });
                match written {
                    Ok(()) => Ok(Created::Yes),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Exists),
                    Err(error) => Err(self.fault("write", key, error)),
                }
            }
            Inner::Remote(remote) => {
                let (store, path) = remote.at(key);
                let put = async move { store.put_opts(&path, PutPayload::from(bytes), PutMode::Create.into()).await };
                match remote.wait(put) {
                    Ok(_) => Ok(Created::Yes),
                    Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
                    Err(error) => Err(self.fault("write", key, error)),
                }
            }
        }
    }

    /// The whole object; `None` = there is none.
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Fault> {
        match &self.inner {
            Inner::Folder(root) => match fs::read(root.join(key)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.fault("read", key, error)),
            },
            Inner::Remote(remote) => {
                let (store, path) = remote.at(key);
                match remote.wait(async move { store.get(&path).await?.bytes().await }) {
                    Ok(bytes) => Ok(Some(bytes.to_vec())),
                    Err(Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(self.fault("read", key, error)),
                }
            }
        }
    }

    /// The length of an object.
    pub fn bytes_of(&self, key: &Key) -> Result<u64, Fault> {
        match &self.inner {
            Inner::Folder(root) => {
                fs::metadata(root.join(key)).map(|meta| meta.len()).map_err(|error| self.fault("read", key, error))
            }
            Inner::Remote(remote) => {
                let (store, path) = remote.at(key);
                let head = remote.wait(async move { store.head(&path).await });
                head.map(|meta| meta.size).map_err(|error| self.fault("read", key, error))
            }
        }
    }

    /// A part of an object.
    pub fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Fault> {
        let bytes = match &self.inner {
            Inner::Folder(root) => {
                read_range(&root.join(key), &range).map_err(|error| self.fault("read", key, error))?
            }
            Inner::Remote(remote) => {
                let ((store, path), range) = (remote.at(key), range.clone());
                let get = remote.wait(async move { store.get_range(&path, range).await });
                get.map_err(|error| self.fault("read", key, error))?.to_vec()
            }
        };
        match bytes.len() as u64 == range.end - range.start {
            true => Ok(bytes),
            false => Err(self.fault("read", key, format!("it ends before byte {}", range.end))),
        }
    }

    /// The keys under a prefix, in no order.
    pub fn list(&self, prefix: &Key) -> Result<Vec<String>, Fault> {
        match &self.inner {
            Inner::Folder(root) => {
                let mut found = Vec::new();
                list_files(root, &root.join(prefix), &mut found).map_err(|error| self.fault("list", prefix, error))?;
                Ok(found)
            }
            Inner::Remote(_) => Ok(self.list_objects(prefix)?.into_iter().map(|listed| listed.key).collect()),
        }
    }

    /// The objects under a prefix with their lengths, in no order; of an object store.
    pub fn list_objects(&self, prefix: &Key) -> Result<Vec<Listed>, Fault> {
        let Inner::Remote(remote) = &self.inner else {
            return Err(self.fault("list", prefix, "a folder has files, no objects"));
        };
        let (store, path) = remote.at(prefix);
        let listed = remote.wait(async move {
            use futures_util::TryStreamExt;
            store.list(Some(&path)).try_collect::<Vec<_>>().await
        });
        let listed = listed.map_err(|error| self.fault("list", prefix, error))?;
        let root = format!("{}/", remote.root);
        let relative = |path: &str| path.strip_prefix(&root).unwrap_or(path).to_owned();
        Ok(listed.iter().map(|meta| Listed { key: relative(meta.location.as_ref()), bytes: meta.size }).collect())
    }

    /// The names of what is directly in the store, hidden ones too.
    pub fn names(&self) -> Result<Vec<String>, Fault> {
        match &self.inner {
            Inner::Folder(root) => folder::names(root).map_err(|error| self.fault("list", "", error)),
            Inner::Remote(remote) => {
                let (store, root) = (Arc::clone(&remote.objects), remote.root.clone());
                let listed = remote.wait(async move { store.list_with_delimiter(Some(&root)).await });
                let listed = listed.map_err(|error| self.fault("list", "", error))?;
                Ok(listed.objects.iter().filter_map(|meta| Some(meta.location.filename()?.to_owned())).collect())
            }
        }
    }

    /// Deletes an object, if there is one.
    pub fn delete(&self, key: &Key) -> Result<(), Fault> {
        match &self.inner {
            Inner::Folder(root) => {
                let path = root.join(key);
                match fs::remove_file(&path) {
                    Ok(()) => remove_empty_parents(root, &path),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(self.fault("delete", key, error)),
                }
                Ok(())
            }
            Inner::Remote(remote) => {
                let (store, path) = remote.at(key);
                match remote.wait(async move { store.delete(&path).await }) {
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.fault("delete", key, error)),
                }
            }
        }
    }
}
