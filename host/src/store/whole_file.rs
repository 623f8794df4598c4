//! Files of this machine that become objects, and objects that become files.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

use crate::model::fault::Fault;

use super::folder::sync_folder;
use super::{Inner, Key, PART_BYTES, Store};

/// Files are read in blocks of this size.
const BLOCK_BYTES: usize = 1 << 20;

/// A file that is an object now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutFile {
    pub bytes: u64,
    /// XXH3-64; a file that was linked was not read.
    pub checksum: Option<u64>,
}

impl Store {
    /// Makes a file an object: by a link if it `may_link` and that is possible, and then the file must be durable and
    /// never change.
    pub fn put_file(&self, key: &Key, path: &Path, may_link: bool) -> Result<PutFile, Fault> {
        let fault = |error| self.fault("write", key, error);
        if let (Inner::Folder(root), true) = (&self.inner, may_link) {
            let target = root.join(key);
            let folder = target.parent().unwrap_or(root);
            fs::create_dir_all(folder).map_err(fault)?;
            match fs::hard_link(path, &target) {
                Ok(()) => {
                    let bytes = fs::metadata(&target).and_then(|meta| sync_folder(&target).map(|()| meta.len()));
                    return Ok(PutFile { bytes: bytes.map_err(fault)?, checksum: None });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(fault(error)),
                // Another disk, or one that knows no links.
                Err(_) => {}
            }
        }
        let (mut file, mut writer) = (File::open(path).map_err(fault)?, self.writer(key)?);
        let checksum = each_block(&mut file, |block| writer.write(block)).map_err(fault)??;
        Ok(PutFile { bytes: writer.finish()?, checksum: Some(checksum) })
    }

    /// Makes an object a file, which must not be there yet: by a link if it `may_link` and that is possible. The object
    /// must have this length and, where it is copied, this checksum.
    pub fn get_file(&self, key: &Key, expected: PutFile, path: &Path, may_link: bool) -> Result<(), Fault> {
        let bytes = self.bytes_of(key)?;
        if bytes != expected.bytes {
            return Err(damaged(&self.name_of(key), format!("it has {bytes} bytes instead of {}", expected.bytes)));
        }
        if let (Inner::Folder(root), true) = (&self.inner, may_link)
            && fs::hard_link(root.join(key), path).is_ok()
        {
            return Ok(());
        }
        let local =
            |error: io::Error| Fault::unavailable(format!("cannot write the file `{}`: {error}", path.display()));
        let mut file = File::create_new(path).map_err(local)?;
        let (mut hash, mut at) = (Xxh3Default::new(), 0);
        while at < bytes {
            let end = bytes.min(at + PART_BYTES as u64);
            let part = self.get_range(key, at..end)?;
            hash.update(&part);
            file.write_all(&part).map_err(local)?;
            at = end;
        }
        match expected.checksum {
            Some(checksum) if checksum != hash.digest() => {
                Err(damaged(&self.name_of(key), "its checksum is not the one in the manifest".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn damaged(name: &str, how: String) -> Fault {
    Fault::unrestorable(format!("the file of state `{name}` is damaged: {how}"))
}

/// Hands on a file block by block; returns its XXH3-64. The outer error is the file's.
fn each_block(file: &mut File, mut take: impl FnMut(&[u8]) -> Result<(), Fault>) -> io::Result<Result<u64, Fault>> {
    let (mut hash, mut block) = (Xxh3Default::new(), vec![0; BLOCK_BYTES]);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(Ok(hash.digest()));
        }
        hash.update(&block[..read]);
        if let Err(fault) = take(&block[..read]) {
            return Ok(Err(fault));
        }
    }
}
