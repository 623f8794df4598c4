use clap::Args;

use super::running::{RunningJob, unexpected};
use crate::control::checkpoint::restore::absolute;
use crate::control::socket::protocol::{Answer, Command, SavepointTo};

/// Stop a running job with a last checkpoint, or with a savepoint
///
/// Waits until the job is over. `wasmill run` of the same job goes on from there, but not after `--drain`.
#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    running: RunningJob,
    /// Make a savepoint, in a folder of its own or the URL of one [default: one below savepoints/ in the job's place]
    #[arg(long, value_name = "PATH", num_args = 0..=1)]
    savepoint: Option<Option<String>>,
    /// End the sources first, as if all had been read: the last watermark passes and every window fires. The job has
    /// finished then, and nothing can go on from its last checkpoint or savepoint
    #[arg(long)]
    drain: bool,
}

impl Stop {
    pub fn run(self) -> anyhow::Result<()> {
        let savepoint = self.savepoint.as_ref().map(|to| {
            let to = to.as_deref().map(absolute).transpose()?;
            anyhow::Ok(SavepointTo { to })
        });
        match self.running.call(Command::Stop { savepoint: savepoint.transpose()?, drain: self.drain })? {
            Answer::Stopped { savepoint: Some(made), .. } => println!("{}", made.path),
            Answer::Stopped { checkpoint: Some(last), .. } => eprintln!("stopped with checkpoint {}", last.checkpoint),
            Answer::Stopped { .. } => eprintln!("stopped"),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}
