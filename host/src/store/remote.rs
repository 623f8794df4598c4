//! Object stores, by their URLs. A request has a limit of time; what fails for a reason that may pass is tried again.

use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use tokio::runtime::Runtime;

use crate::model::fault::Fault;

/// Of one request, its body included (option `timeout`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Option `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request is tried again so many times (option `max_retries`) ..
const RETRIES_MAX: usize = 10;
/// .. and not after this time since it was first sent (option `retry_timeout`).
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// Threads that wait for all stores of the process.
const THREADS: usize = 2;

/// A place in an object store.
#[derive(Clone)]
pub struct Remote {
    pub objects: Arc<dyn ObjectStore>,
    /// `None` = uploads of this store end with the process.
    pub uploads: Option<Arc<dyn MultipartStore>>,
    pub root: Path,
    runtime: &'static Runtime,
}

impl Remote {
    pub fn of(
        objects: Arc<dyn ObjectStore>,
        uploads: Option<Arc<dyn MultipartStore>>,
        root: Path,
    ) -> Result<Self, Fault> {
        Ok(Self { objects, uploads, root, runtime: runtime()? })
    }

    /// Credentials and regions come from the environment, as with every tool for these stores; options go before them.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self, Fault> {
        let refused = |error: &dyn std::fmt::Display| Fault::invalid(format!("cannot open the store `{url}`: {error}"));
        let parsed = url::Url::parse(url).map_err(|error| refused(&error))?;
        let (scheme, root) = ObjectStoreScheme::parse(&parsed).map_err(|error| refused(&error))?;
        let (retry, options) = retries(options).map_err(|error| refused(&error))?;
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        macro_rules! build {
            ($builder:ty) => {{
                let mut builder = <$builder>::new().with_client_options(client).with_retry(retry).with_url(url);
                for (name, value) in environment() {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                for (name, value) in options {
                    let key = name.parse().map_err(|_| refused(&format!("it has no option `{name}`")))?;
                    builder = builder.with_config(key, value);
                }
                let store = Arc::new(builder.build().map_err(|error| refused(&error))?);
                Self::of(Arc::clone(&store) as _, Some(store), root)
            }};
        }
        match scheme {
            ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder),
            ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder),
            ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder),
            _ => Err(refused(&"known stores are those of `s3://`, `gs://` and `az://` URLs")),
        }
    }

    /// The part of it under a prefix.
    pub fn under(&self, prefix: &str) -> Self {
        Self { root: self.path(prefix), ..self.clone() }
    }

    pub fn path(&self, key: &str) -> Path {
        key.split('/').filter(|part| !part.is_empty()).fold(self.root.clone(), |path, part| path.join(part))
    }

    /// An object, and how to reach it.
    pub fn at(&self, key: &str) -> (Arc<dyn ObjectStore>, Path) {
        (Arc::clone(&self.objects), self.path(key))
    }

    /// Does the work on a thread of the stores, and waits: callers may be anywhere, even inside of another runtime.
    pub fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, receiver) = sync_channel(1);
        self.runtime.spawn(async move {
            // The caller waits for it.
            let _ = sender.send(work.await);
        });
        receiver.recv().expect("what was begun is answered, unless it panics")
    }

    /// Where what is spawned runs.
    pub fn runtime(&self) -> &'static Runtime {
        self.runtime
    }
}

fn runtime() -> Result<&'static Runtime, Fault> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("object-store")
        .enable_all()
        .build()
        .map_err(|error| Fault::unavailable(format!("no threads for the object store: {error}")))?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// What the builders of stores read from the environment.
fn environment() -> impl Iterator<Item = (String, String)> {
    let texts =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let lower = texts.map(|(name, value)| (name.to_lowercase(), value));
    lower.filter(|(name, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| name.starts_with(prefix)))
}

/// How often a request is tried, and the options that say nothing of it.
fn retries(options: &[(String, String)]) -> Result<(RetryConfig, Vec<(String, String)>), String> {
    let mut retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut others = Vec::new();
    for (name, value) in options {
        let wrong = |error: &dyn std::fmt::Display| format!("the option `{name}` cannot be `{value}`: {error}");
        match name.as_str() {
            "max_retries" => retry.max_retries = value.parse().map_err(|error| wrong(&error))?,
            "retry_timeout" => {
                retry.retry_timeout = humantime::parse_duration(value).map_err(|error| wrong(&error))?;
            }
            _ => others.push((name.to_lowercase(), value.clone())),
        }
    }
    Ok((retry, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, options: &[(&str, &str)]) -> String {
        let options: Vec<_> = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Remote::open(url, &options).err().expect("it is refused").message
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        assert!(refusal("s3://bucket/out", &[("aws_regoin", "x")]).contains("no option `aws_regoin`"));
        assert!(refusal("s3://bucket/out", &[("retry_timeout", "soon")]).contains("`retry_timeout` cannot be `soon`"));
        assert!(refusal("ftp://host/out", &[]).contains("ftp://host/out"));
        assert!(refusal("http://host/out", &[]).contains("known stores"));
    }
}
