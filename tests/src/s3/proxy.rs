//! Stands between a job and its object store, sees every request, and decides what becomes of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What becomes of a request.
pub enum Verdict {
    Forward,
    /// It is forwarded, and then this happens, before the answer goes back.
    ForwardThen(Box<dyn FnOnce() + Send>),
    /// This happens, and nobody answers.
    Instead(Box<dyn FnOnce() + Send>),
    /// 500.
    Refuse,
    /// Nobody answers until the client goes.
    Hang,
}

/// Decides by the first line of a request, such as `PUT /bucket/key?uploadId=1 HTTP/1.1`.
pub type Judge = dyn Fn(&str) -> Verdict + Send + Sync;

/// Listens until the tests end. Returns where.
pub fn start(store: SocketAddr, judge: impl Fn(&str) -> Verdict + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let judge: Arc<Judge> = Arc::new(judge);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let judge = Arc::clone(&judge);
            // A client that is killed leaves broken connections.
            thread::spawn(move || serve(&client, store, judge.as_ref()));
        }
    });
    address
}

fn serve(client: &TcpStream, store: SocketAddr, judge: &Judge) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut client = client;
    match judge(head.lines().next().unwrap_or_default()) {
        Verdict::Forward => client.write_all(&forward(store, &head, &body)?),
        Verdict::ForwardThen(then) => {
            let answer = forward(store, &head, &body)?;
            then();
            client.write_all(&answer)
        }
        Verdict::Instead(happens) => {
            happens();
            Ok(())
        }
        Verdict::Refuse => {
            client.write_all(b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        Verdict::Hang => reader.read_to_end(&mut Vec::new()).map(drop),
    }
}

fn forward(store: SocketAddr, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(store)?;
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
