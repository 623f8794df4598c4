//! Servers of another origin that speak S3, on loopback. They never outlive the process that started them.

pub mod minio;
pub mod moto;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

pub const ACCESS_KEY: &str = "wasmill";
pub const SECRET_KEY: &str = "wasmill-secret";
pub const REGION: &str = "us-east-1";

pub struct Server {
    address: SocketAddr,
    /// It ends with its standard input, that is with us.
    _process: Child,
}

impl Server {
    fn at(port: u16, process: Child) -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), _process: process }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moto asks nobody for a signature; MinIO creates its buckets when it starts.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        self.request("PUT", &format!("/{name}")).map(drop)
    }

    /// The body of the answer to a request that has none and is not signed. An answer other than 200 is an error.
    pub fn request(&self, method: &str, target: &str) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        let head = format!("{method} {target} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.address);
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer without a head")?;
        let status = String::from_utf8_lossy(&answer[..end]).into_owned();
        ensure!(status.split(' ').nth(1) == Some("200"), "{method} {target}: {status}");
        Ok(answer.split_off(end + 4))
    }
}

/// What `wasmill` finds in its environment to reach a server at this address.
pub fn environment(address: SocketAddr) -> [(&'static str, String); 5] {
    [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
    ]
}

/// Where programs are installed: outside of the clone, so that the next clone finds them.
fn cache() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache/wasmill")
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} cannot install the S3 server of the tests ({status})");
    Ok(())
}
