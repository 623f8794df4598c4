//! Objects that are prepared by one process and completed by it or another: until then nobody sees them.
//!
//! In a folder, what is prepared is a hidden file, and completing renames it. In an object store it is an upload in
//! parts, whose number and parts stand in `Prepared`. Stores do not list unfinished uploads to everyone, so a small
//! object beside the one to come, `.<name>.upload`, keeps the number from before the first part until the end: what
//! nobody will complete is found and aborted by it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error, MultipartId, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::model::fault::Fault;

use super::folder::sync_folder;
use super::remote::Remote;
use super::{Inner, PART_BYTES, Store};

/// Parts of one upload that are under way.
const PARTS_IN_FLIGHT_MAX: usize = 2;
/// What of a file is written at once.
const WRITE_BYTES: usize = 256 << 10;

/// What it takes to complete an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The name it gets.
    pub name: String,
    pub bytes: u64,
    /// `None` = it is a hidden file.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<Parts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    id: MultipartId,
    /// In order, as the store calls them.
    parts: Vec<String>,
}

/// An object in the making. Dropped before `prepare`, it is left for `Store::abort_uploads`.
pub struct Upload {
    name: String,
    /// For messages.
    full_name: String,
    /// To be sent.
    buffer: Vec<u8>,
    sent_bytes: u64,
    target: Target,
}

enum Target {
    File { file: File, path: PathBuf },
    Parts(Sending),
}

/// Parts on their way to an object store.
struct Sending {
    remote: Remote,
    store: Arc<dyn MultipartStore>,
    path: object_store::path::Path,
    id: MultipartId,
    in_flight: JoinSet<Result<(usize, PartId), Error>>,
    /// Those that have arrived.
    parts: Vec<Option<PartId>>,
}

fn hidden(root: &Path, name: &str) -> PathBuf {
    root.join(format!(".{name}.inprogress"))
}

fn record(name: &str) -> String {
    format!(".{name}.upload")
}

impl Store {
    /// Begins an object of this name, directly in the store.
    pub fn begin_upload(&self, name: &str) -> Result<Upload, Fault> {
        let target = match &self.inner {
            Inner::Folder(root) => {
                let path = hidden(root, name);
                let file = File::create(&path);
                let file =
                    file.map_err(|error| Fault::unavailable(format!("cannot create `{}`: {error}", path.display())))?;
                Target::File { file, path }
            }
            Inner::Remote(remote) => {
                let (store, path) = (self.uploads(remote)?, remote.path(name));
                let (begin, at) = (Arc::clone(&store), path.clone());
                let id = remote.wait(async move { begin.create_multipart(&at).await });
                let id = id.map_err(|error| self.fault("begin to write", name, error))?;
                self.put(&record(name), id.clone().into_bytes())?;
                let (in_flight, parts) = (JoinSet::new(), Vec::new());
                Target::Parts(Sending { remote: remote.clone(), store, path, id, in_flight, parts })
            }
        };
        let (name, full_name) = (name.to_owned(), self.name_of(name));
        Ok(Upload { name, full_name, buffer: Vec::new(), sent_bytes: 0, target })
    }

    fn uploads(&self, remote: &Remote) -> Result<Arc<dyn MultipartStore>, Fault> {
        let missing = || Fault::invalid(format!("`{}` cannot hide an object until it is complete", self.name));
        remote.uploads.clone().ok_or_else(missing)
    }

    /// Makes a prepared object visible under its name. Idempotent, after errors and in other processes too.
    pub fn complete_upload(&self, prepared: &Prepared) -> Result<(), Fault> {
        let name = &prepared.name;
        match (&self.inner, &prepared.upload) {
            (Inner::Folder(root), None) => {
                let (from, to) = (hidden(root, name), root.join(name));
                match fs::rename(&from, &to) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound && is_of(&to, prepared.bytes) => {}
                    Err(error) => return Err(self.fault("publish", name, error)),
                }
                sync_folder(&to).map_err(|error| self.fault("publish", name, error))
            }
            (Inner::Remote(remote), Some(upload)) => {
                let (store, path, upload) = (self.uploads(remote)?, remote.path(name), upload.clone());
                let parts = upload.parts.into_iter().map(|content_id| PartId { content_id }).collect();
                let completed = remote.wait(async move { store.complete_multipart(&path, &upload.id, parts).await });
                if let Err(error) = completed {
                    // It may have been completed before.
                    let (objects, path) = remote.at(name);
                    match remote.wait(async move { objects.head(&path).await }) {
                        Ok(meta) if meta.size == prepared.bytes => {}
                        _ => return Err(self.fault("publish", name, error)),
                    }
                }
                self.delete(&record(name))
            }
            _ => Err(Fault::invalid(format!("`{}` was prepared in another kind of store", self.name_of(name)))),
        }
    }

    /// Whether a prepared object waits to be completed; `false` too where it was forgotten.
    pub fn is_waiting(&self, prepared: &Prepared) -> Result<bool, Fault> {
        match &self.inner {
            Inner::Folder(root) => Ok(hidden(root, &prepared.name).exists()),
            Inner::Remote(_) => Ok(self.get(&record(&prepared.name))?.is_some()),
        }
    }

    /// Forgets all objects that are begun or prepared, and not complete, if `is_left` says so of their names.
    pub fn abort_uploads(&self, is_left: impl Fn(&str) -> bool) -> Result<(), Fault> {
        let suffix = match &self.inner {
            Inner::Folder(_) => ".inprogress",
            Inner::Remote(_) => ".upload",
        };
        for found in self.names()? {
            let name = found.strip_prefix('.').and_then(|name| name.strip_suffix(suffix));
            let Some(name) = name.filter(|name| is_left(name)) else { continue };
            if let Inner::Remote(remote) = &self.inner {
                self.abort(remote, name)?;
            }
            self.delete(&found)?;
        }
        Ok(())
    }

    fn abort(&self, remote: &Remote, name: &str) -> Result<(), Fault> {
        let Some(id) = self.get(&record(name))? else { return Ok(()) };
        let id = String::from_utf8_lossy(&id).into_owned();
        let (store, path) = (self.uploads(remote)?, remote.path(name));
        match remote.wait(async move { store.abort_multipart(&path, &id).await }) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("abort the upload of", name, error)),
        }
    }
}

fn is_of(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() == bytes)
}

impl Upload {
    /// The end of the object: append to it, then `send`.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// So far.
    pub fn bytes(&self) -> u64 {
        self.sent_bytes + self.buffer.len() as u64
    }

    /// Passes on what is worth a request; waits while too much is under way.
    pub fn send(&mut self) -> Result<(), Fault> {
        match &mut self.target {
            Target::File { .. } if self.buffer.len() < WRITE_BYTES => Ok(()),
            Target::File { .. } => self.flush(),
            Target::Parts(sending) => {
                while self.buffer.len() >= PART_BYTES {
                    let rest = self.buffer.split_off(PART_BYTES);
                    let part = std::mem::replace(&mut self.buffer, rest);
                    self.sent_bytes += part.len() as u64;
                    sending.put(part).map_err(|error| cannot_send(&self.full_name, error))?;
                }
                Ok(())
            }
        }
    }

    /// Passes on all that can be, where that costs little.
    pub fn flush(&mut self) -> Result<(), Fault> {
        let Target::File { file, path } = &mut self.target else { return Ok(()) };
        let written = file.write_all(&self.buffer);
        self.sent_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        written.map_err(|error| cannot_write(&path.display().to_string(), error))
    }

    /// The object is whole: makes it durable, and says what it takes to complete it.
    pub fn prepare(mut self) -> Result<Prepared, Fault> {
        self.send()?;
        self.flush()?;
        let bytes = self.bytes();
        let upload = match self.target {
            Target::File { file, path } => {
                let synced = file.sync_all().and_then(|()| sync_folder(&path));
                synced.map_err(|error| cannot_write(&path.display().to_string(), error))?;
                None
            }
            Target::Parts(sending) => {
                let finished = sending.finish(self.buffer);
                Some(finished.map_err(|error| cannot_send(&self.full_name, error))?)
            }
        };
        Ok(Prepared { name: self.name, bytes, upload })
    }
}

fn cannot_write(name: &str, error: impl std::fmt::Display) -> Fault {
    Fault::unavailable(format!("cannot write `{name}`: {error}"))
}

fn cannot_send(name: &str, error: Error) -> Fault {
    match error {
        // Nobody else aborts the uploads of a living host: to start again would take the job back.
        Error::NotFound { .. } => Fault::superseded(format!(
            "the upload of `{name}` was aborted, because another host has taken over the job: this one stops"
        )),
        error => cannot_write(name, error),
    }
}

impl Sending {
    fn put(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.wait_until(PARTS_IN_FLIGHT_MAX - 1)?;
        let number = self.parts.len();
        self.parts.push(None);
        let (store, path, id) = (Arc::clone(&self.store), self.path.clone(), self.id.clone());
        let put = async move {
            let part = store.put_part(&path, &id, number, PutPayload::from(bytes)).await?;
            Ok((number, part))
        };
        self.in_flight.spawn_on(put, self.remote.runtime().handle());
        Ok(())
    }

    /// Waits until no more than this many parts are under way.
    fn wait_until(&mut self, left: usize) -> Result<(), Error> {
        while self.in_flight.len() > left {
            let Some(arrived) = self.remote.runtime().block_on(self.in_flight.join_next()) else { break };
            let (number, part) = arrived.map_err(|source| Error::JoinError { source })??;
            self.parts[number] = Some(part);
        }
        Ok(())
    }

    fn finish(mut self, rest: Vec<u8>) -> Result<Parts, Error> {
        if !rest.is_empty() {
            self.put(rest)?;
        }
        self.wait_until(0)?;
        Ok(Parts { id: self.id, parts: self.parts.into_iter().flatten().map(|part| part.content_id).collect() })
    }
}
