//! An object store in memory that fails when its seed says so: before it has done what it was asked, or after.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::random;

#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<InMemory>,
    seed: Arc<AtomicU64>,
    /// Requests of a thousand that fail.
    failing: Arc<AtomicU64>,
}

/// When a request that fails does so.
enum Failure {
    Before,
    /// It has been done, and nobody is told.
    After,
}

impl FaultyStore {
    pub fn new(seed: u64) -> Self {
        let failing = Arc::new(AtomicU64::new(0));
        Self { inner: Arc::default(), seed: Arc::new(AtomicU64::new(seed)), failing }
    }

    pub fn fail(&self, per_mille: u64) {
        self.failing.store(per_mille, Relaxed);
    }

    fn failure(&self) -> Option<Failure> {
        let seed = self.seed.fetch_add(1, Relaxed);
        let drawn = random(seed);
        if drawn % 1000 >= self.failing.load(Relaxed) {
            return None;
        }
        Some(if drawn & (1 << 40) == 0 { Failure::Before } else { Failure::After })
    }
}

fn failed() -> Error {
    Error::Generic { store: "faulty", source: "the seed says so".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that fails")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.failure() {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Failure::Before) => Err(failed()),
            Some(Failure::After) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(failed())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.failure() {
            None => self.inner.put_multipart_opts(location, options).await,
            Some(_) => Err(failed()),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.failure() {
            None => self.inner.get_opts(location, options).await,
            Some(_) => Err(failed()),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
