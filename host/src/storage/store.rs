//! Where checkpoints are kept: a folder, or an object store. Blocking: callers are threads of their own.
//!
//! What `put` returned `Ok` for is durable. A folder is written by us and not by `object_store`, which does not sync.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::Xxh3Default;

use crate::model::fault::Fault;
use crate::plan::fault_tolerance::Location;

/// Of an upload in parts: stores want at least 5 MiB, and 10,000 of them at most.
const PART_BYTES: usize = 8 << 20;
/// Files are read in blocks of this size.
const BLOCK_BYTES: usize = 1 << 20;
/// Parts of one upload that are under way.
const PARTS_IN_FLIGHT: usize = 4;

/// A path within a store: parts joined by `/`, relative to the store's root.
pub type Key = str;

#[derive(Clone)]
pub struct Store {
    inner: Inner,
    /// For messages.
    name: String,
}

#[derive(Clone)]
enum Inner {
    Folder(PathBuf),
    Remote { store: Arc<dyn ObjectStore>, root: object_store::path::Path, runtime: Arc<Runtime> },
}

/// What came of `put_new`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Yes,
    /// There is something of this name.
    Exists,
}

/// A file that is an object now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutFile {
    pub bytes: u64,
    /// XXH3-64; a file that was linked was not read.
    pub checksum: Option<u64>,
}

impl Store {
    pub fn open(location: &Location) -> Result<Self, Fault> {
        match location {
            Location::Folder(path) => {
                let fault =
                    |error| Fault::unavailable(format!("cannot create the folder `{}`: {error}", path.display()));
                fs::create_dir_all(path).map_err(fault)?;
                let path = fs::canonicalize(path).map_err(fault)?;
                Ok(Self { name: path.display().to_string(), inner: Inner::Folder(path) })
            }
            Location::Store { url, options } => Self::remote(url, options),
        }
    }

    /// The same for what is only to be read: a folder is not created. `None` = there is none.
    pub fn open_existing(location: &Location) -> Result<Option<Self>, Fault> {
        match location {
            Location::Folder(path) if !path.is_dir() => Ok(None),
            location => Self::open(location).map(Some),
        }
    }

    /// A store that is open already.
    pub fn of(store: Arc<dyn ObjectStore>, name: &str) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("object-store")
            .enable_all()
            .build()
            .map_err(|error| Fault::unavailable(format!("no thread for the object store: {error}")))?;
        let root = object_store::path::Path::default();
        Ok(Self { inner: Inner::Remote { store, root, runtime: Arc::new(runtime) }, name: name.to_owned() })
    }

    fn remote(url: &str, options: &[(String, String)]) -> Result<Self, Fault> {
        let refused = |error: &dyn std::fmt::Display| Fault::invalid(format!("cannot open the store `{url}`: {error}"));
        let parsed = url::Url::parse(url).map_err(|error| refused(&error))?;
        // Credentials and regions come from the environment, as with every tool for these stores.
        let environment = std::env::vars().map(|(name, value)| (name.to_lowercase(), value));
        let options = environment.filter(|(name, _)| is_store_option(name)).chain(options.iter().cloned());
        let (store, root) = object_store::parse_url_opts(&parsed, options).map_err(|error| refused(&error))?;
        let mut opened = Self::of(Arc::from(store), url.trim_end_matches('/'))?;
        if let Inner::Remote { root: at, .. } = &mut opened.inner {
            *at = root;
        }
        Ok(opened)
    }

    /// The part of the store under a prefix.
    pub fn under(&self, prefix: &Key) -> Self {
        let inner = match &self.inner {
            Inner::Folder(path) => Inner::Folder(path.join(prefix)),
            Inner::Remote { store, root, runtime } => {
                Inner::Remote { store: Arc::clone(store), root: join(root, prefix), runtime: Arc::clone(runtime) }
            }
        };
        Self { inner, name: format!("{}/{prefix}", self.name) }
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
            Inner::Remote { store, root, runtime } => {
                let put = runtime.block_on(store.put(&join(root, key), PutPayload::from(bytes)));
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
            Inner::Remote { store, root, runtime } => {
                let options = PutMode::Create.into();
                match runtime.block_on(store.put_opts(&join(root, key), PutPayload::from(bytes), options)) {
                    Ok(_) => Ok(Created::Yes),
                    Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                        Ok(Created::Exists)
                    }
                    Err(error) => Err(self.fault("write", key, error)),
                }
            }
        }
    }

    /// Begins an object that is written piece by piece, and is there when it is finished.
    pub fn writer(&self, key: &Key) -> Result<ObjectWriter, Fault> {
        let target = match &self.inner {
            Inner::Folder(root) => {
                let path = root.join(key);
                let staged = Staged::create(&path).map_err(|error| self.fault("write", key, error))?;
                Target::File { staged, path }
            }
            Inner::Remote { store, root, runtime } => {
                let upload = runtime.block_on(store.put_multipart(&join(root, key)));
                let upload = upload.map_err(|error| self.fault("write", key, error))?;
                // It spawns the uploads of parts on the runtime.
                let _inside = runtime.enter();
                let write = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
                Target::Upload { write: Some(write), runtime: Arc::clone(runtime) }
            }
        };
        Ok(ObjectWriter { target, name: self.name_of(key), bytes: 0 })
    }

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

    /// The whole object; `None` = there is none.
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Fault> {
        match &self.inner {
            Inner::Folder(root) => match fs::read(root.join(key)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.fault("read", key, error)),
            },
            Inner::Remote { store, root, runtime } => {
                let get = runtime.block_on(async { store.get(&join(root, key)).await?.bytes().await });
                match get {
                    Ok(bytes) => Ok(Some(bytes.to_vec())),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
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
            Inner::Remote { store, root, runtime } => {
                let head = runtime.block_on(store.head(&join(root, key)));
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
            Inner::Remote { store, root, runtime } => {
                let get = runtime.block_on(store.get_range(&join(root, key), range.clone()));
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
            Inner::Remote { store, root, runtime } => {
                let prefix_path = join(root, prefix);
                let listed = runtime.block_on(async {
                    use futures_util::TryStreamExt;
                    store.list(Some(&prefix_path)).try_collect::<Vec<_>>().await
                });
                let listed = listed.map_err(|error| self.fault("list", prefix, error))?;
                let root = format!("{root}/");
                let relative = |path: &str| path.strip_prefix(&root).unwrap_or(path).to_owned();
                Ok(listed.iter().map(|meta| relative(meta.location.as_ref())).collect())
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
            Inner::Remote { store, root, runtime } => match runtime.block_on(store.delete(&join(root, key))) {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.fault("delete", key, error)),
            },
        }
    }
}

fn damaged(name: &str, how: String) -> Fault {
    Fault::invalid(format!("the file of state `{name}` is damaged: {how}; start from an older checkpoint"))
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

/// What the builders of stores read from the environment.
fn is_store_option(name: &str) -> bool {
    ["aws_", "google_", "azure_"].iter().any(|prefix| name.starts_with(prefix))
}

fn join(root: &object_store::path::Path, key: &Key) -> object_store::path::Path {
    key.split('/').filter(|part| !part.is_empty()).fold(root.clone(), |path, part| path.join(part))
}

fn read_range(path: &Path, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    file.take(range.end - range.start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Names that start with a point are those of files that are being written.
fn list_files(root: &Path, folder: &Path, found: &mut Vec<String>) -> io::Result<()> {
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

/// Folders mean nothing here: those that hold nothing go with the last file.
fn remove_empty_parents(root: &Path, path: &Path) {
    let parents = path.ancestors().skip(1).take_while(|parent| *parent != root);
    for parent in parents {
        if fs::remove_dir(parent).is_err() {
            break;
        }
    }
}

/// A file under a name that nobody reads.
struct Staged {
    file: File,
    path: PathBuf,
}

impl Staged {
    fn create(target: &Path) -> io::Result<Self> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // Another host may be writing the same object.
        let path = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(folder)?;
        let file = match File::create_new(&path) {
            // Its sweep has removed the folder while it was empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder)?;
                File::create_new(&path)
            }
            created => created,
        };
        Ok(Self { file: file?, path })
    }

    fn replace(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        sync_folder(target)
    }

    fn create_new(self, target: &Path) -> io::Result<()> {
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
fn sync_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder)?.sync_all()?;
    match folder.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
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
    Upload { write: Option<WriteMultipart>, runtime: Arc<Runtime> },
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
            Target::Upload { write: Some(write), runtime } => {
                let _inside = runtime.enter();
                let waited = runtime.block_on(write.wait_for_capacity(PARTS_IN_FLIGHT));
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
            Target::Upload { write, runtime } => match write.take() {
                Some(write) => runtime.block_on(write.finish()).map(drop).map_err(|error| error.to_string()),
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
        if let Target::Upload { write, runtime } = &mut self.target
            && let Some(write) = write.take()
        {
            // The store forgets parts that nobody asks for; if it cannot be told, its rules for old parts do.
            let _ = runtime.block_on(write.abort());
        }
    }
}
