use clap::Args;

use super::job_file::JobFile;
use crate::plan::explain;

/// Show the plan of a job: its graph, schemas, exchanges and parallelism, without running it
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    job: JobFile,
    /// As Graphviz: `wasmill explain --dot job.toml | dot -Tsvg > job.svg`
    #[arg(long)]
    dot: bool,
}

impl Explain {
    pub fn run(self) -> anyhow::Result<()> {
        let plan = self.job.plan()?;
        print!("{}", if self.dot { explain::dot(&plan) } else { explain::tree(&plan) });
        Ok(())
    }
}
