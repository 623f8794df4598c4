//! Objects that are written piece by piece.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use object_store::{ObjectStoreExt, WriteMultipart};

use crate::model::fault::Fault;

use super::folder::{Staged, sync_folder};
use super::remote::Remote;
use super::{Inner, Key, PART_BYTES, Store};

/// Parts of one upload that are under way.
const PARTS_IN_FLIGHT_MAX: usize = 4;

impl Store {
    /// Begins an object that is written piece by piece, and is there when it is finished.
    pub fn writer(&self, key: &Key) -> Result<ObjectWriter, Fault> {
        let target = match &self.inner {
            Inner::Folder(root) => {
                let path = root.join(key);
                let staged = Staged::create(&path).map_err(|error| self.fault("write", key, error))?;
                Target::File { staged, path }
            }
            Inner::Remote(remote) => {
                let (store, path) = remote.at(key);
                let upload = remote.wait(async move { store.put_multipart(&path).await });
                let upload = upload.map_err(|error| self.fault("write", key, error))?;
                let write = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
                Target::Upload { write: Some(write), remote: remote.clone() }
            }
        };
        Ok(ObjectWriter { target, name: self.name_of(key), bytes: 0 })
    }
}

/// An object on its way; dropped before `finish`, it never was.
pub struct ObjectWriter {
    target: Target,
    name: String,
    bytes: u64,
}

enum Target {
    File { staged: Staged, path: PathBuf },
    Upload { write: Option<WriteMultipart>, remote: Remote },
}

impl ObjectWriter {
    /// So far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len() as u64;
        let written = match &mut self.target {
            Target::File { staged, .. } => staged.file.write_all(bytes).map_err(|error| error.to_string()),
            Target::Upload { write: Some(write), remote } => {
                let _inside = remote.runtime().enter();
                let waited = remote.runtime().block_on(write.wait_for_capacity(PARTS_IN_FLIGHT_MAX));
                write.write(bytes);
                waited.map_err(|error| error.to_string())
            }
            Target::Upload { write: None, .. } => Ok(()),
        };
        written.map_err(|error| Fault::unavailable(format!("cannot write `{}`: {error}", self.name)))
    }

    /// Makes the object durable, and visible under its name.
    pub fn finish(mut self) -> Result<u64, Fault> {
        let finished = match &mut self.target {
            Target::File { staged, path } => {
                let synced = staged.file.sync_all().and_then(|()| fs::rename(&staged.path, &*path));
                synced.and_then(|()| sync_folder(path)).map_err(|error| error.to_string())
            }
            Target::Upload { write, remote } => match write.take() {
                Some(write) => remote.runtime().block_on(write.finish()).map(drop).map_err(|error| error.to_string()),
                None => Ok(()),
            },
        };
        match finished {
            Ok(()) => Ok(self.bytes),
            Err(error) => Err(Fault::unavailable(format!("cannot write `{}`: {error}", self.name))),
        }
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let Target::Upload { write, remote } = &mut self.target
            && let Some(write) = write.take()
        {
            // The store forgets parts that nobody asks for; if it cannot be told, its rules for old parts do.
            let _ = remote.runtime().block_on(write.abort());
        }
    }
}
