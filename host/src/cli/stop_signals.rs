//! The signals that end a running job in good order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C (SIGINT), and what systemd, Kubernetes and Docker end a process with (SIGTERM).
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// From now on they do not end the process.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one. Nothing is lost when this wait is cancelled.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
