//! The S3 server that all tests of this process share, and a client of a few lines.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wasmill_s3::{Server, moto};

/// A bucket of its own for one test.
pub struct Bucket {
    pub name: String,
    pub address: SocketAddr,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| moto::start().unwrap())
}

impl Bucket {
    pub fn new() -> Self {
        static BUCKETS: AtomicU32 = AtomicU32::new(0);
        let name = format!("bucket-{}", BUCKETS.fetch_add(1, Relaxed));
        server().create_bucket(&name).unwrap();
        Self { name, address: server().address() }
    }

    fn request(&self, method: &str, target: &str) -> Vec<u8> {
        server().request(method, &format!("/{}{target}", self.name)).unwrap()
    }

    /// The keys of all objects under a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let listing = self.request("GET", &format!("?list-type=2&prefix={prefix}"));
        let listing = String::from_utf8(listing).unwrap();
        assert!(listing.contains("<IsTruncated>false"), "more objects than a test makes");
        elements(&listing, "Key")
    }

    /// The keys of uploads that are neither complete nor aborted, and hold data.
    pub fn uploads(&self) -> Vec<String> {
        let listing = String::from_utf8(self.request("GET", "?uploads")).unwrap();
        let uploads = elements(&listing, "Key").into_iter().zip(elements(&listing, "UploadId"));
        let holds_data = |key: &str, id: &str| {
            let parts = self.request("GET", &format!("/{key}?uploadId={id}"));
            String::from_utf8(parts).unwrap().contains("<PartNumber>")
        };
        uploads.filter(|(key, id)| holds_data(key, id)).map(|(key, _)| key).collect()
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        self.request("GET", &format!("/{key}"))
    }

    /// The lines of all objects under a prefix that are not hidden, sorted.
    pub fn lines(&self, prefix: &str) -> Vec<String> {
        let keys = self.keys(prefix);
        let visible = keys.iter().filter(|key| !key.contains("/."));
        let texts: Vec<String> = visible.map(|key| String::from_utf8(self.get(key)).unwrap()).collect();
        let mut lines: Vec<String> = texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let found = xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next());
    found.map(str::to_owned).collect()
}
