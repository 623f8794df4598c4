use clap::Args;

use super::progress_view::{checkpoint_line, now};
use super::running::{RunningJob, unexpected};
use crate::control::socket::protocol::{Answer, Command, JobState, JobStatus};

/// Say what a running job is doing: its checkpoints, restarts and counts
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    running: RunningJob,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn run(self) -> anyhow::Result<()> {
        match self.running.call(Command::Status)? {
            Answer::Status(status) if self.json => println!("{}", serde_json::to_string_pretty(&status)?),
            Answer::Status(status) => print(&status),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}

fn print(status: &JobStatus) {
    let state = match status.state {
        JobState::Running => "running",
        JobState::Restarting => "restarting",
        JobState::Stopping => "stopping",
        JobState::Finished => "finished",
        JobState::Failed => "failed",
    };
    let uptime = humantime::format_duration(std::time::Duration::from_secs(status.uptime_ms / 1_000));
    match status.restarts_in_ms {
        None => println!("{} is {state} for {uptime} in process {}", status.job, status.process_id),
        Some(wait) => {
            let wait = humantime::format_duration(std::time::Duration::from_secs(wait.div_ceil(1_000)));
            println!("{} has failed and starts again in {wait} in process {}", status.job, status.process_id);
        }
    }
    if let Some(failure) = &status.failure {
        println!("{failure}");
    }
    println!("{}", checkpoint_line(&status.checkpoints, status.restarts_total, now()));
    for node in &status.nodes {
        println!(
            "{:<16} {} in, {} out, {} late, {} dead letters{}",
            node.uid,
            node.records_in_total,
            node.records_out_total,
            node.late_records_total,
            node.dead_letters_total,
            node.pending_records.map(|pending| format!(", {pending} wait")).unwrap_or_default()
        );
    }
}
