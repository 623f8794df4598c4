use clap::Args;

use super::running::{RunningJob, unexpected};
use crate::control::checkpoint::restore::absolute;
use crate::control::socket::protocol::{Answer, Command};

/// Make a savepoint of a running job: a checkpoint that is yours, to keep, to move, and to start from
///
/// All of its files are in its own folder, and nothing deletes it. The job goes on. Prints the savepoint's path when it
/// is complete: `wasmill run JOB --from PATH` starts there.
#[derive(Debug, Args)]
pub struct Savepoint {
    #[command(flatten)]
    running: RunningJob,
    /// A folder of its own, or the URL of one: empty, but for what a host of this job that died has left of a savepoint
    /// there [default: one below savepoints/ in the job's place]
    #[arg(long, value_name = "PATH")]
    to: Option<String>,
    /// Do not wait until it is complete: `wasmill status` and `wasmill checkpoint list` show it
    #[arg(long)]
    detached: bool,
}

impl Savepoint {
    pub fn run(self) -> anyhow::Result<()> {
        let to = self.to.as_deref().map(absolute).transpose()?;
        match self.running.call(Command::Savepoint { to, detached: self.detached })? {
            Answer::Savepoint(made) => println!("{}", made.path),
            Answer::Accepted {} => eprintln!("the savepoint has been accepted"),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}
