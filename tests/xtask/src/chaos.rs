use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Need};
use crate::{plugins, repo};

const PROGRAM: &str = "wasmill-chaos";
const PLUGIN: &str = "ledger";

/// Kill a job and everything around it, as a seed says, and compare what comes out with what must
///
/// Runs a real Kafka broker, and installs what `test` does for it. What a run that fails leaves is kept in `target/chaos`.
#[derive(Debug, Args)]
pub struct Chaos {
    /// --seed N (another one each time), --kills K (50), --events M (5,000,000), --rate R (20,000 a second), --store s3|minio|folder (s3)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Chaos {
    pub fn run(self) -> Result<()> {
        setup::ensure(&[Need::NativeBuild, Need::GuestCompiler])?;
        setup::ensure_kafka()?;
        match self.arguments.iter().any(|argument| argument.contains("minio")) {
            true => setup::ensure_minio()?,
            false => setup::ensure_s3()?,
        }
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        plugins::build(&wasmill, &[PLUGIN.to_owned()])?;
        let mut chaos = Command::new(repo::program(PROGRAM)?);
        chaos.arg("--program").arg(wasmill).arg("--plugins").arg(repo::plugins_folder());
        chaos.arg("--folder").arg(repo::root().join("target/chaos")).args(self.arguments);
        repo::run(&mut chaos)
    }
}
