//! The job file that several commands take.

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::control::environment::HostEnvironment;
use crate::control::job::no_checkpoints;
use crate::model::id::Parallelism;
use crate::plan::fault_tolerance::CheckpointPlan;
use crate::plan::graph::Plan;
use crate::plan::load::{load, read};
use crate::plan::spec::JobSpec;

#[derive(Debug, Args)]
pub struct JobFile {
    /// The job, as TOML
    job: PathBuf,
    /// Override a setting of the job, such as `sources.clicks.path=other.jsonl` (may be given several times)
    #[arg(long, value_name = "A.B=VALUE")]
    set: Vec<String>,
    /// Worker threads [default: what the job says, or a slot for each core]
    #[arg(long, short, value_name = "SLOTS")]
    parallelism: Option<u16>,
}

impl JobFile {
    pub fn new(job: PathBuf, set: Vec<String>) -> Self {
        Self { job, set, parallelism: None }
    }

    fn text(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.job)
            .with_context(|| format!("the job file {} cannot be read", self.job.display()))
    }

    /// What the file says: files and plugins need not be there.
    pub fn spec(&self) -> anyhow::Result<JobSpec> {
        Ok(read(&self.job, &self.text()?, &self.set)?)
    }

    /// The job's checkpoints, which it must have.
    pub fn checkpoints(&self) -> anyhow::Result<(String, CheckpointPlan)> {
        let job = self.spec()?;
        let checkpoints = job.checkpoints.ok_or_else(|| no_checkpoints(&job.name))?;
        Ok((job.name.value, checkpoints))
    }

    pub fn plan(&self) -> anyhow::Result<Plan> {
        let text = self.text()?;
        let mut set = self.set.clone();
        set.extend(self.parallelism.map(|slots| format!("parallelism={slots}")));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let cores = Parallelism::new(cores.try_into().unwrap_or(u16::MAX)).unwrap_or(Parallelism::ONE);
        Ok(load(&self.job, &text, &set, cores, &mut HostEnvironment)?)
    }
}
