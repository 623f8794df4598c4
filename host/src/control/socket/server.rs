//! Listens for a running job.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::model::fault::Fault;

use super::address::make_folder;
use super::protocol::{Answer, Command, REQUEST_BYTES_MAX, Request, Response, VERSION};

/// At once; more wait.
const CONNECTIONS_MAX: u32 = 32;
/// A request must come within this, and the last answers must be taken within it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody wants of the job, and where the answer goes. Who asked may have gone.
pub struct Call {
    pub command: Command,
    pub answer: oneshot::Sender<Answer>,
}

/// A socket that is there as long as this is.
pub struct Server {
    path: PathBuf,
    inode: u64,
    calls: mpsc::Receiver<Call>,
    connections: Arc<Semaphore>,
    listening: JoinHandle<()>,
}

impl Server {
    /// Takes the name over from a process that was killed, or that this one succeeds. Only this user may connect.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let fault = |error| Fault::unavailable(format!("cannot listen on `{}`: {error}", path.display()));
        make_folder(path)?;
        // Nobody knows the name before the socket is this user's alone.
        let staged = path.with_extension(format!("{:x}", std::process::id()));
        let _ = fs::remove_file(&staged);
        let listener = UnixListener::bind(&staged).map_err(fault)?;
        let inode = fs::set_permissions(&staged, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::symlink_metadata(&staged))
            .and_then(|found| fs::rename(&staged, path).map(|()| found.ino()))
            .map_err(fault)?;
        let (sender, calls) = mpsc::channel(1);
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        let listening = tokio::spawn(listen(listener, Arc::clone(&connections), sender));
        Ok(Self { path: path.to_owned(), inode, calls, connections, listening })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub async fn next(&mut self) -> Call {
        match self.calls.recv().await {
            Some(call) => call,
            None => std::future::pending().await,
        }
    }

    /// Takes no more calls, and waits for the answers to be on their way.
    pub async fn close(mut self) {
        self.calls.close();
        self.listening.abort();
        // Calls that nobody took are answered by being dropped.
        while self.calls.try_recv().is_ok() {}
        let _ = timeout(PATIENCE, self.connections.acquire_many(CONNECTIONS_MAX)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
        // A successor may have taken the name over.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn listen(listener: UnixListener, connections: Arc<Semaphore>, calls: mpsc::Sender<Call>) {
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, calls.clone(), permit))),
            // Such as too many open files: it may be better in a while.
            Err(error) => {
                tracing::warn!("the control socket: {error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn serve(mut stream: UnixStream, calls: mpsc::Sender<Call>, permit: OwnedSemaphorePermit) {
    let answer = match timeout(PATIENCE, request(&mut stream)).await {
        Ok(Ok(command)) => ask(command, &calls).await,
        Ok(Err(error)) => Answer::Error(error),
        Err(_) => Answer::Error(format!("no request came within {} s", PATIENCE.as_secs())),
    };
    if let Ok(mut line) = serde_json::to_vec(&Response { version: VERSION, answer }) {
        line.push(b'\n');
        // Who asked may have gone.
        let _ = timeout(PATIENCE, stream.write_all(&line)).await;
    }
    drop(permit);
}

async fn request(stream: &mut UnixStream) -> Result<Command, String> {
    let unread = |error: io::Error| format!("the request cannot be read: {error}");
    let (own, peer) = (rustix::process::geteuid().as_raw(), stream.peer_cred().map_err(unread)?.uid());
    if peer != own && peer != 0 {
        return Err(format!("the job is run by user {own}, and does nothing for user {peer}"));
    }
    let mut line = Vec::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX as u64)).read_until(b'\n', &mut line).await.map_err(unread)?;
    if line.pop() != Some(b'\n') {
        return Err(format!("a request is a line of at most {REQUEST_BYTES_MAX} bytes"));
    }
    parse(&line)
}

fn parse(line: &[u8]) -> Result<Command, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let no_request = |error: serde_json::Error| format!("this is no request: {error}");
    let Version { version } = serde_json::from_slice(line).map_err(no_request)?;
    if version != VERSION {
        return Err(format!(
            "the request is of version {version}, and this job (wasmill {}) speaks version {VERSION}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    Ok(serde_json::from_slice::<Request>(line).map_err(no_request)?.command)
}

async fn ask(command: Command, calls: &mpsc::Sender<Call>) -> Answer {
    let ended = || Answer::Error("the job has just ended".to_owned());
    let (answer, answered) = oneshot::channel();
    if calls.send(Call { command, answer }).await.is_err() {
        return ended();
    }
    answered.await.unwrap_or_else(|_| ended())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::client::call;
    use super::*;

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }

    #[test]
    fn other_versions_are_told_which_this_is() {
        assert_eq!(parse(br#"{"version":1,"command":"status"}"#), Ok(Command::Status));
        let error = parse(br#"{"version":9,"command":"dance"}"#).unwrap_err();
        assert!(error.contains("version 9") && error.contains("version 1"), "{error}");
    }

    #[test]
    fn a_stale_socket_is_taken_over_and_a_successors_is_left_alone() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/control.sock");
        let gone = call(&path, Command::Status, None).unwrap_err();
        assert!(gone.message.contains("does not run"), "{gone}");
        fs::create_dir(folder.path().join("a")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let stale = call(&path, Command::Status, None).unwrap_err();
        assert!(stale.message.contains("nobody listens"), "{stale}");
        runtime.block_on(async {
            let first = Server::open(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            let mut second = Server::open(&path).unwrap();
            first.close().await;
            let caller = std::thread::spawn({
                let path = path.clone();
                move || call(&path, Command::Status, None)
            });
            let taken = second.next().await;
            assert_eq!(taken.command, Command::Status);
            taken.answer.send(Answer::Accepted {}).unwrap();
            second.close().await;
            assert_eq!(caller.join().unwrap(), Ok(Answer::Accepted {}));
        });
        assert!(!path.exists(), "it goes with its server");
    }
}
