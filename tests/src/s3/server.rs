//! A real S3 server of another origin (moto), one for all tests of this process, and a client of a few lines.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What `cargo xtask test` has installed.
const REQUIREMENTS: &str = include_str!("requirements.txt");

struct Server {
    address: SocketAddr,
    /// It ends with its standard input, that is with us.
    _process: Child,
}

/// A bucket of its own for one test.
pub struct Bucket {
    pub name: String,
    pub address: SocketAddr,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/wasmill/moto");
        let installed = fs::read_to_string(folder.join("requirements.txt")).unwrap_or_default();
        assert_eq!(installed, REQUIREMENTS, "the S3 server of the tests is not installed: run `cargo xtask test`");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/s3/server.py");
        let mut python = Command::new(folder.join("bin/python"));
        python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = python.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("the S3 server says its port");
        Server { address: SocketAddr::from(([127, 0, 0, 1], port)), _process: process }
    })
}

impl Bucket {
    pub fn new() -> Self {
        static BUCKETS: AtomicU32 = AtomicU32::new(0);
        let bucket = Self { name: format!("bucket-{}", BUCKETS.fetch_add(1, Relaxed)), address: server().address };
        bucket.request("PUT", "");
        bucket
    }

    fn request(&self, method: &str, target: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head =
            format!("{method} /{}{target} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.name, self.address);
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
        let status = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(status.split(' ').nth(1) == Some("200"), "{method} /{}{target}: {status}", self.name);
        answer.split_off(end + 4)
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
