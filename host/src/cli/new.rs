use clap::Args;

/// Start an operator project that builds and passes its test at once
#[derive(Debug, Args)]
pub struct New {
    /// Name of the folder and of the cargo package
    name: String,
}

impl New {
    pub fn run(self) -> anyhow::Result<()> {
        todo!("{}", self.name)
    }
}
