//! Where the job keeps its checkpoints and its files, as somebody else sees it.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

pub const BUCKET: &str = "chaos";
/// Where things are in the bucket, or in the folder of the job.
pub const CHECKPOINTS: &str = "chaos.checkpoints";
pub const BOOKED: &str = "booked";
pub const TURNOVERS: &str = "turnovers";

#[derive(Clone)]
pub enum Place {
    Folder(PathBuf),
    Bucket { runtime: Arc<Runtime>, bucket: Arc<AmazonS3>, prefix: String },
}

impl Place {
    /// The bucket of a server at this address.
    pub fn bucket(server: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let bucket = AmazonS3Builder::new()
            .with_endpoint(format!("http://{server}"))
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .with_region(wasmill_s3::REGION)
            .with_access_key_id(wasmill_s3::ACCESS_KEY)
            .with_secret_access_key(wasmill_s3::SECRET_KEY)
            .build()?;
        Ok(Self::Bucket { runtime: Arc::new(runtime), bucket: Arc::new(bucket), prefix: String::new() })
    }

    pub fn under(&self, name: &str) -> Self {
        match self {
            Self::Folder(folder) => Self::Folder(folder.join(name)),
            Self::Bucket { runtime, bucket, prefix } => Self::Bucket {
                runtime: Arc::clone(runtime),
                bucket: Arc::clone(bucket),
                prefix: format!("{prefix}{name}/"),
            },
        }
    }

    /// The names of all files, hidden ones too, with `/` where they are in folders.
    pub fn names(&self) -> Result<BTreeSet<String>> {
        match self {
            Self::Folder(folder) => {
                let mut names = BTreeSet::new();
                list(folder, "", &mut names)?;
                Ok(names)
            }
            Self::Bucket { runtime, bucket, prefix } => {
                let listed: Vec<_> = runtime.block_on(bucket.list(Some(&Key::from(prefix.as_str()))).try_collect())?;
                let name = |key: &Key| key.as_ref().strip_prefix(prefix.as_str()).map(str::to_owned);
                Ok(listed.iter().filter_map(|object| name(&object.location)).collect())
            }
        }
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
            }
            Self::Bucket { runtime, bucket, prefix } => {
                let key = Key::from(format!("{prefix}{name}"));
                let read = runtime.block_on(async { bucket.get(&key).await?.bytes().await });
                Ok(read.with_context(|| format!("cannot read {key}"))?.to_vec())
            }
        }
    }
}

fn list(folder: &Path, prefix: &str, names: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            list(&path, &format!("{name}/"), names)?;
        } else {
            names.insert(name);
        }
    }
    Ok(())
}
