//! What the commands for a running job have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::job_file::JobFile;
use crate::control::socket::address::socket_path;
use crate::control::socket::client::call;
use crate::control::socket::protocol::{Answer, Command};

#[derive(Debug, Args)]
pub struct RunningJob {
    #[command(flatten)]
    job: JobFile,
    /// Folder of the job's control socket, if `wasmill run` was given one
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Wait no longer than this, such as 30s; what was begun goes on [default: wait until it is done]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<humantime::Duration>,
}

impl RunningJob {
    pub fn call(&self, command: Command) -> anyhow::Result<Answer> {
        let (name, checkpoints) = self.job.checkpoints()?;
        let socket = socket_path(&name, &checkpoints.location, self.state_dir.as_deref())?;
        match call(&socket, command, self.timeout.map(Duration::from))? {
            Answer::Error(error) => Err(anyhow::Error::msg(error)),
            answer => Ok(answer),
        }
    }
}

/// What a running job should not have said.
pub fn unexpected(answer: &Answer) -> anyhow::Error {
    anyhow::anyhow!("the job answered something else than it was asked: {answer:?}")
}
