//! MinIO: the program that people keep objects with themselves, for long runs. It is built from source, once for a
//! machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{ACCESS_KEY, SECRET_KEY, Server, cache, run};

pub const VERSION: &str = "latest";
/// How long it may take to be ready.
const START: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// MinIO goes on when its standard input ends, this does not.
const SUPERVISE: &str = r#""$@" & minio=$!; cat > /dev/null; kill "$minio"; wait "$minio""#;

fn program() -> PathBuf {
    cache().join("minio/minio")
}

pub fn is_installed() -> bool {
    program().exists()
}

/// Needs the Go compiler, and a few minutes.
pub fn install() -> Result<()> {
    let package = format!("github.com/minio/minio@{VERSION}");
    run(Command::new("go").args(["install", &package]).env("GOBIN", cache().join("minio")))
}

/// Keeps objects in `folder`, which is empty, in these buckets.
pub fn start(folder: &Path, buckets: &[&str]) -> Result<Server> {
    ensure!(is_installed(), "MinIO is not installed");
    for bucket in buckets {
        let bucket = folder.join(bucket);
        fs::create_dir_all(&bucket).with_context(|| format!("cannot create {}", bucket.display()))?;
    }
    let [port, console] = free_ports()?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    let mut minio = Command::new("sh");
    minio.args(["-c", SUPERVISE, "sh"]).arg(program()).args(["server", "--quiet"]);
    minio.args(["--address", &address(port), "--console-address", &address(console)]).arg(folder);
    minio.env("MINIO_ROOT_USER", ACCESS_KEY).env("MINIO_ROOT_PASSWORD", SECRET_KEY);
    minio.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server::at(port, minio.spawn().context("cannot run MinIO")?);
    let started = Instant::now();
    while let Err(error) = server.request("GET", "/minio/health/ready") {
        ensure!(started.elapsed() < START, "MinIO is not ready within {START:?}: {error:#}");
        thread::sleep(PAUSE);
    }
    Ok(server)
}

fn free_ports() -> Result<[u16; 2]> {
    let sockets = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([sockets[0].local_addr()?.port(), sockets[1].local_addr()?.port()])
}
