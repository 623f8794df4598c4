//! What other processes ask of a running job by its control socket, from one start of the job to the next.

use std::path::Path;

use tokio::sync::{oneshot, watch};

use crate::model::fault::Fault;
use crate::plan::fault_tolerance::CheckpointPlan;

use super::checkpoint::coordinator::Then;
use super::checkpoint::progress::CompletedCheckpoint;
use super::checkpoint::savepoint::{Ordered, SavepointMade, SavepointOrder};
use super::job::Job;
use super::socket::address::socket_path;
use super::socket::protocol::{Answer, Command, JobStatus};
use super::socket::server::{Call, Server};

/// How the job ended, for those who wait for that; `None` = it has not.
type End = Option<Result<Option<CompletedCheckpoint>, String>>;

pub struct Calls {
    /// `None` = nobody can call.
    server: Option<Server>,
    end: watch::Sender<End>,
}

/// What whoever runs the job must know of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Served,
    /// The job is to end, and not to start again if it fails before.
    Stopping,
}

type Made = oneshot::Receiver<Result<SavepointMade, Fault>>;

impl Calls {
    /// Listens for a job that makes checkpoints. Where that cannot be, the job runs all the same.
    pub fn open(job: &str, checkpoints: Option<&CheckpointPlan>, state_dir: Option<&Path>) -> Self {
        let server = checkpoints.and_then(|checkpoints| {
            let opened = socket_path(job, &checkpoints.location, state_dir).and_then(|path| Server::open(&path));
            opened
                .inspect(|server| {
                    let path = server.path().display();
                    tracing::info!("`wasmill status`, `savepoint` and `stop` reach this job at {path}");
                })
                .inspect_err(|fault| {
                    tracing::warn!(
                        "`wasmill savepoint`, `stop` and `status` cannot reach this job: {fault}; `--state-dir` names \
                         another folder for its socket"
                    );
                })
                .ok()
        });
        Self { server, end: watch::Sender::new(None) }
    }

    pub async fn next(&mut self) -> Call {
        match &mut self.server {
            Some(server) => server.next().await,
            None => std::future::pending().await,
        }
    }

    pub fn serve(&self, call: Call, job: &Job, status: impl FnOnce() -> JobStatus) -> Outcome {
        let Call { command, answer } = call;
        match command {
            Command::Status => {
                // Who asked may have gone, here and below.
                let _ = answer.send(Answer::Status(status()));
                Outcome::Served
            }
            Command::Savepoint { to, detached } => {
                let (order, Ordered { accepted, made }) = SavepointOrder::new(to, Then::GoOn);
                job.savepoint(order);
                tokio::spawn(async move {
                    let has_begun = accepted.await.is_ok();
                    let result = if detached && has_begun { Answer::Accepted {} } else { savepoint(made).await };
                    answer.send(result)
                });
                Outcome::Served
            }
            Command::Stop { savepoint: None, drain } => {
                tracing::info!("stopping with a last checkpoint: somebody has asked for it");
                if drain {
                    job.drain()
                } else {
                    job.stop()
                }
                tokio::spawn(stopped(self.end.subscribe(), None, answer));
                Outcome::Stopping
            }
            Command::Stop { savepoint: Some(savepoint), drain } => {
                tracing::info!("stopping with a savepoint: somebody has asked for it");
                let then = if drain { Then::Drain } else { Then::Stop };
                let (order, Ordered { made, .. }) = SavepointOrder::new(savepoint.to, then);
                job.savepoint(order);
                tokio::spawn(stopped(self.end.subscribe(), Some(made), answer));
                // If it fails, the job goes on from its last checkpoint.
                Outcome::Served
            }
        }
    }

    /// The same while the job has failed and waits to start again: it can be looked at, and stopped where it is.
    pub fn serve_restarting(&self, call: Call, status: &JobStatus) -> Outcome {
        let Call { command, answer } = call;
        let what = match command {
            Command::Status => {
                let _ = answer.send(Answer::Status(status.clone()));
                return Outcome::Served;
            }
            Command::Stop { savepoint: None, drain: false } => {
                tracing::info!("stopping, and not starting again: somebody has asked for it");
                tokio::spawn(stopped(self.end.subscribe(), None, answer));
                return Outcome::Stopping;
            }
            Command::Savepoint { .. } | Command::Stop { savepoint: Some(_), .. } => "no savepoint can be made of it",
            Command::Stop { savepoint: None, drain: true } => "it cannot be drained",
        };
        let JobStatus { failure, restarts_in_ms, .. } = status;
        let seconds = restarts_in_ms.unwrap_or_default().div_ceil(1_000);
        let _ = answer.send(Answer::Error(format!(
            "the job has failed and starts again from its last checkpoint in {seconds} s, so {what} now: ask again then, or \
             stop it as it is (`wasmill stop`). It has failed: {}",
            failure.as_deref().unwrap_or_default()
        )));
        Outcome::Served
    }

    /// The job is over: tells those who wait for that, and listens no more.
    pub async fn close(self, ended: &Result<(), Fault>, last: Option<CompletedCheckpoint>) {
        let end = ended.as_ref().map(|()| last).map_err(Fault::to_string);
        self.end.send_replace(Some(end));
        if let Some(server) = self.server {
            server.close().await;
        }
    }
}

async fn savepoint(made: Made) -> Answer {
    match made.await {
        Ok(Ok(made)) => Answer::Savepoint(made),
        Ok(Err(fault)) => Answer::Error(fault.to_string()),
        Err(_) => Answer::Error("the job has ended before the savepoint was complete".to_owned()),
    }
}

/// Answers when the job is over, or when there is no savepoint to stop it with.
async fn stopped(mut end: watch::Receiver<End>, made: Option<Made>, answer: oneshot::Sender<Answer>) {
    let made = match made {
        None => None,
        Some(made) => match savepoint(made).await {
            Answer::Savepoint(made) => Some(made),
            other => {
                let _ = answer.send(other);
                return;
            }
        },
    };
    let end = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
    let _ = answer.send(match end {
        Some(Ok(checkpoint)) => Answer::Stopped { checkpoint, savepoint: made },
        Some(Err(fault)) => Answer::Error(format!("the job has failed: {fault}")),
        None => Answer::Error("the job was stopped at once".to_owned()),
    });
}
