//! A server of another origin (moto) that speaks S3, on loopback, in memory. It never outlives the process that started
//! it.

mod install;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

pub use install::{REQUIREMENTS, install, is_installed};

pub struct Server {
    address: SocketAddr,
    /// It ends with its standard input, that is with us.
    _process: Child,
}

impl Server {
    pub fn start() -> Result<Self> {
        ensure!(is_installed(), "the S3 server of the tests is not installed: run `cargo xtask test`");
        let mut python = Command::new(install::folder().join("bin/python"));
        python.arg("-c").arg(include_str!("../server.py"));
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = python.spawn().context("cannot run python")?;
        let mut port = String::new();
        BufReader::new(process.stdout.take().context("it has a pipe")?).read_line(&mut port)?;
        let port: u16 = port.trim().parse().context("the S3 server does not say its port")?;
        Ok(Self { address: SocketAddr::from(([127, 0, 0, 1], port)), _process: process })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn create_bucket(&self, name: &str) -> Result<()> {
        self.request("PUT", &format!("/{name}")).map(drop)
    }

    /// The body of the answer to a request without one. An answer other than 200 is an error.
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
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
}
