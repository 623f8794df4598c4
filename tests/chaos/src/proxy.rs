//! Stands between a host and its brokers, or its object store: relays bytes, cuts all connections, and does to requests
//! of Kafka what a network does. Of Kafka's protocol it knows where a frame ends, which request it is (`api_key`), and
//! which answer belongs to it (`correlation_id`).

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// A longer one is none of Kafka's.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// How long a request that comes late waits for what it is to come after.
const LATE_MAX: Duration = Duration::from_secs(20);

/// A request by its `api_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    Metadata = 3,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    EndTxn = 26,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The connection breaks before it arrives.
    DropRequest,
    /// It arrives, and the connection breaks before its answer does.
    DropResponse,
    /// It and what is behind it arrive later.
    Delay(Duration),
    /// The connection breaks, and it arrives all the same, after the next request of this kind: one that a client took
    /// for lost.
    ArriveAfter(Api),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.api)?;
        match self.action {
            Action::DropRequest => write!(f, "request dropped"),
            Action::DropResponse => write!(f, "response dropped"),
            Action::Delay(_) => write!(f, "request delayed"),
            Action::ArriveAfter(other) => write!(f, "request delayed past the next {other:?}"),
        }
    }
}

/// Something that will happen once, to the first request of a kind after `skip` others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub api: Api,
    pub skip: u32,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Kafka,
    /// Only cut, never looked at.
    Opaque,
}

pub struct Proxy {
    address: SocketAddr,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told of every request.
    seen: Condvar,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    open: Vec<TcpStream>,
    faults: Vec<Fault>,
    /// How many of each kind have passed, by `api_key`.
    passed: [u64; 32],
}

impl Proxy {
    /// Takes a free port of 127.0.0.1, without relaying anything yet.
    pub fn bind() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), shared: Arc::default() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Relays to `upstream` until the process ends.
    pub fn relay_to(&mut self, upstream: SocketAddr, protocol: Protocol) {
        let Some(listener) = self.listener.take() else { return };
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Nobody there is no connection.
                let Ok(server) = TcpStream::connect(upstream) else { continue };
                let shared = Arc::clone(&shared);
                let _ = shared.relay(client, server, protocol);
            }
        });
    }

    /// Breaks all connections; there are no new ones until `mend`.
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.is_cut = true;
        for connection in state.open.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.shared.lock().is_cut = false;
    }

    pub fn arm(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// Those that have not happened yet.
    pub fn armed(&self) -> Vec<Fault> {
        self.shared.lock().faults.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relay(self: Arc<Self>, client: TcpStream, server: TcpStream, protocol: Protocol) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut state = self.lock();
        if state.is_cut {
            return Ok(());
        }
        state.open.retain(|open| open.peer_addr().is_ok());
        state.open.extend([client.try_clone()?, server.try_clone()?]);
        drop(state);
        let (to_client, from_server) = (client.try_clone()?, server.try_clone()?);
        match protocol {
            Protocol::Opaque => {
                thread::spawn(move || pass(from_server, to_client));
                thread::spawn(move || pass(client, server));
            }
            Protocol::Kafka => {
                let unanswered = Arc::new(Mutex::new(Unanswered::default()));
                let answers = Answers { from_server, to_client, unanswered: Arc::clone(&unanswered) };
                thread::spawn(move || answers.pass());
                let requests = Requests { from_client: client, to_server: server, unanswered, shared: self };
                thread::spawn(move || requests.pass());
            }
        }
        Ok(())
    }

    /// What is to become of this request.
    fn judge(&self, api: i16) -> Option<Action> {
        let mut state = self.lock();
        if let Some(passed) = usize::try_from(api).ok().and_then(|api| state.passed.get_mut(api)) {
            *passed += 1;
        }
        self.seen.notify_all();
        let at = state.faults.iter().position(|fault| fault.api as i16 == api)?;
        if state.faults[at].skip > 0 {
            state.faults[at].skip -= 1;
            return None;
        }
        Some(state.faults.remove(at).action)
    }

    fn wait_for_another(&self, api: Api) {
        let state = self.lock();
        let before = state.passed[api as usize];
        let none = |state: &mut State| state.passed[api as usize] == before;
        drop(self.seen.wait_timeout_while(state, LATE_MAX, none));
    }
}

/// Until one of the two ends, and then both do.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    close(&from);
    close(&to);
}

fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// What the two directions of a connection know of each other.
#[derive(Default)]
struct Unanswered {
    /// Correlation ids whose answers do not arrive.
    dropped: BTreeSet<i32>,
    /// The client is gone, and the server has not noticed.
    is_late: bool,
}

struct Requests {
    from_client: TcpStream,
    to_server: TcpStream,
    unanswered: Arc<Mutex<Unanswered>>,
    shared: Arc<Shared>,
}

impl Requests {
    fn pass(mut self) {
        let _ = self.pass_until_it_breaks();
        close(&self.from_client);
        if !lock(&self.unanswered).is_late {
            close(&self.to_server);
        }
    }

    fn pass_until_it_breaks(&mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        loop {
            read_frame(&mut self.from_client, &mut frame)?;
            // `RequestHeader`: api_key, api_version, correlation_id; the frame begins with its length.
            let api = i16::from_be_bytes([frame[4], frame[5]]);
            let correlation = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
            match self.shared.judge(api) {
                None => {}
                Some(Action::DropRequest) => return Ok(()),
                Some(Action::DropResponse) => drop(lock(&self.unanswered).dropped.insert(correlation)),
                Some(Action::Delay(delay)) => thread::sleep(delay),
                Some(Action::ArriveAfter(other)) => {
                    lock(&self.unanswered).is_late = true;
                    close(&self.from_client);
                    self.shared.wait_for_another(other);
                    return self.to_server.write_all(&frame);
                }
            }
            self.to_server.write_all(&frame)?;
        }
    }
}

struct Answers {
    from_server: TcpStream,
    to_client: TcpStream,
    unanswered: Arc<Mutex<Unanswered>>,
}

impl Answers {
    fn pass(mut self) {
        let _ = self.pass_until_it_breaks();
        close(&self.from_server);
        close(&self.to_client);
    }

    fn pass_until_it_breaks(&mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        loop {
            read_frame(&mut self.from_server, &mut frame)?;
            let correlation = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            if lock(&self.unanswered).dropped.contains(&correlation) {
                return Ok(());
            }
            let written = self.to_client.write_all(&frame);
            if !lock(&self.unanswered).is_late {
                written?;
            }
        }
    }
}

fn lock(unanswered: &Mutex<Unanswered>) -> MutexGuard<'_, Unanswered> {
    unanswered.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A frame with its length in front.
fn read_frame(from: &mut TcpStream, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let bytes = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    if !(8..=FRAME_BYTES_MAX).contains(&bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of Kafka"));
    }
    frame.clear();
    frame.extend(length);
    frame.resize(4 + bytes, 0);
    from.read_exact(&mut frame[4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every request with its correlation id, and says which came.
    fn server() -> (SocketAddr, std::sync::mpsc::Receiver<(i16, i32)>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, came) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || {
                    let mut frame = Vec::new();
                    while read_frame(&mut client, &mut frame).is_ok() {
                        let api = i16::from_be_bytes([frame[4], frame[5]]);
                        let correlation = i32::from_be_bytes(frame[8..12].try_into().unwrap());
                        let _ = sender.send((api, correlation));
                        let answer = [&8i32.to_be_bytes()[..], &frame[8..12], &[0; 4]].concat();
                        let _ = client.write_all(&answer);
                    }
                });
            }
        });
        (address, came)
    }

    fn send(client: &mut TcpStream, api: Api, correlation: i32) -> io::Result<Vec<u8>> {
        let (api, version) = (api as i16, 0i16);
        let frame = [&8i32.to_be_bytes()[..], &api.to_be_bytes(), &version.to_be_bytes(), &correlation.to_be_bytes()];
        client.write_all(&frame.concat())?;
        let mut answer = Vec::new();
        read_frame(client, &mut answer)?;
        Ok(answer)
    }

    #[test]
    fn requests_meet_what_is_armed_for_them() {
        let (upstream, came) = server();
        let mut proxy = Proxy::bind().unwrap();
        proxy.relay_to(upstream, Protocol::Kafka);
        let connect = || TcpStream::connect(proxy.address()).unwrap();
        let mut client = connect();
        assert_eq!(send(&mut client, Api::Produce, 5).unwrap()[4..8], 5i32.to_be_bytes());
        assert_eq!(came.recv(), Ok((0, 5)));

        proxy.arm(Fault { api: Api::EndTxn, skip: 1, action: Action::DropRequest });
        assert!(send(&mut client, Api::EndTxn, 6).is_ok());
        assert!(send(&mut client, Api::Fetch, 7).is_ok());
        assert!(send(&mut client, Api::EndTxn, 8).is_err());
        assert_eq!([came.recv(), came.recv()], [Ok((26, 6)), Ok((1, 7))]);
        assert!(proxy.armed().is_empty());

        proxy.arm(Fault { api: Api::EndTxn, skip: 0, action: Action::DropResponse });
        let mut client = connect();
        assert!(send(&mut client, Api::EndTxn, 9).is_err());
        assert_eq!(came.recv(), Ok((26, 9)), "it arrived");

        proxy.arm(Fault { api: Api::EndTxn, skip: 0, action: Action::ArriveAfter(Api::AddPartitionsToTxn) });
        let mut client = connect();
        assert!(send(&mut client, Api::EndTxn, 10).is_err());
        assert!(came.try_recv().is_err());
        let mut client = connect();
        assert!(send(&mut client, Api::AddPartitionsToTxn, 11).is_ok());
        let mut both = [came.recv().unwrap(), came.recv().unwrap()];
        both.sort();
        assert_eq!(both, [(24, 11), (26, 10)]);
    }

    #[test]
    fn what_is_cut_is_cut_until_it_is_mended() {
        let (upstream, _came) = server();
        let mut proxy = Proxy::bind().unwrap();
        proxy.relay_to(upstream, Protocol::Opaque);
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        assert!(send(&mut client, Api::Fetch, 1).is_ok());
        proxy.cut();
        assert!(send(&mut client, Api::Fetch, 2).is_err());
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        assert!(send(&mut client, Api::Fetch, 3).is_err());
        proxy.mend();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        assert!(send(&mut client, Api::Fetch, 4).is_ok());
    }
}
