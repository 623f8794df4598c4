//! Asks a broker whether it is ready: a metadata request, whose answer names it once it takes part in the cluster.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const METADATA: i16 = 3;
const VERSION: i16 = 1;
const CORRELATION: i32 = 7;

/// How long one attempt may take, and how long to wait before the next: a port that nobody listens on yet says no at once.
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Whether the broker was ready before the deadline, in a cluster of so many.
pub fn wait(address: SocketAddr, wanted: i32, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        if brokers(address).is_ok_and(|brokers| brokers >= wanted) {
            return true;
        }
        thread::sleep(PAUSE);
    }
    false
}

/// How many brokers the cluster has that are alive. Request and answer are in the layout of Kafka's protocol guide:
/// `RequestHeader v1`, `MetadataRequest v1` (of no topics), `MetadataResponse v1`.
fn brokers(address: SocketAddr) -> io::Result<i32> {
    let mut broker = TcpStream::connect_timeout(&address, ANSWER)?;
    broker.set_read_timeout(Some(ANSWER))?;
    let (no_client_id, no_topics) = (-1i16, 0i32);
    let mut request = Vec::new();
    request.extend(METADATA.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend(no_client_id.to_be_bytes());
    request.extend(no_topics.to_be_bytes());
    broker.write_all(&(request.len() as i32).to_be_bytes())?;
    broker.write_all(&request)?;

    let length = read_i32(&mut broker)?;
    if !(8..=ANSWER_BYTES_MAX as i32).contains(&length) || read_i32(&mut broker)? != CORRELATION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not an answer of Kafka"));
    }
    read_i32(&mut broker)
}

fn read_i32(from: &mut impl Read) -> io::Result<i32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(i32::from_be_bytes(bytes))
}
