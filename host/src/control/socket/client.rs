//! Calls a running job. Blocking.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::model::fault::Fault;

use super::protocol::{Answer, Command, Request, Response, VERSION};

/// Sends a command, and waits for the answer for as long as `patience` says; `None` = until it comes. That nobody waits
/// any longer does not stop what the job has begun.
pub fn call(socket: &Path, command: Command, patience: Option<Duration>) -> Result<Answer, Fault> {
    let name = socket.display();
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Fault::unavailable(format!("the job does not run on this machine: there is no socket `{name}`"))
        }
        io::ErrorKind::ConnectionRefused => Fault::unavailable(format!(
            "the job does not run on this machine: nobody listens on `{name}`, which a process that was killed has left"
        )),
        _ => Fault::unavailable(format!("cannot reach the job at `{name}`: {error}")),
    })?;
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fault::unavailable(
            "no answer yet, and the time to wait is over; what was begun goes on: see `wasmill status`".to_owned(),
        ),
        _ => Fault::unavailable(format!("the job at `{name}` was lost: {error}")),
    };
    stream.set_read_timeout(patience.filter(|patience| !patience.is_zero())).map_err(broken)?;
    let mut line = serde_json::to_vec(&Request { version: VERSION, command })
        .map_err(|error| Fault::internal(format!("a request cannot be written as JSON: {error}")))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer).map_err(broken)? == 0 {
        return Err(Fault::unavailable(format!(
            "the job at `{name}` ended without an answer: the next `wasmill run` says where it stands"
        )));
    }
    let response: Response = serde_json::from_str(&answer)
        .map_err(|error| Fault::unavailable(format!("the job at `{name}` answered what is no answer: {error}")))?;
    Ok(response.answer)
}
