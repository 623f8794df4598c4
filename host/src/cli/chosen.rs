//! The checkpoint that commands for reading take.

use std::path::Path;

use clap::Args;

use super::job_file::JobFile;
use crate::control::checkpoint::catalog::{find, job_place};
use crate::control::checkpoint::restore::Origin;
use crate::storage::manifest::MANIFEST;

#[derive(Debug, Args)]
pub struct Chosen {
    /// The job, as TOML; or the folder or URL of a checkpoint or savepoint
    #[arg(value_name = "JOB|PATH")]
    at: String,
    /// Override a setting of the job (may be given several times)
    #[arg(long, value_name = "A.B=VALUE")]
    set: Vec<String>,
    /// Of a job: the checkpoint of this number [default: the one that the job goes on from]
    #[arg(long, value_name = "N")]
    checkpoint: Option<u64>,
}

impl Chosen {
    pub fn origin(&self) -> anyhow::Result<Origin> {
        let path = Path::new(&self.at);
        let is_manifest = path.file_name().is_some_and(|name| name == MANIFEST);
        let is_job = !self.at.contains("://") && !is_manifest && !path.is_dir();
        if !is_job {
            return Ok(Origin::named(&self.at, None)?);
        }
        let (name, checkpoints) = JobFile::new(path.to_owned(), self.set.clone()).checkpoints()?;
        let place = job_place(&checkpoints.location, &name)?;
        Ok(find(place.as_ref(), self.checkpoint, &name)?)
    }
}
