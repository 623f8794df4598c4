use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::toolchain::{self, SdkSource};

/// Start an operator project that builds and passes its test at once
#[derive(Debug, Args)]
pub struct New {
    /// The new folder; its last part names the package
    name: PathBuf,
    /// What it starts with
    #[arg(long, short, value_enum, default_value_t)]
    template: Template,
    /// Folder of the SDK [default: this checkout's, else the published one]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Template {
    /// Row by row, keyed, with state
    #[default]
    Process,
    /// A window's aggregate
    Aggregate,
}

impl From<Template> for toolchain::Template {
    fn from(template: Template) -> Self {
        match template {
            Template::Process => Self::Process,
            Template::Aggregate => Self::Aggregate,
        }
    }
}

impl New {
    pub fn run(self) -> anyhow::Result<()> {
        toolchain::scaffold(&self.name, self.template.into(), &SdkSource::find(self.sdk.as_deref())?)?;
        let folder = self.name.display();
        println!("{folder} is ready. Next:\n");
        println!("    cd {folder} && cargo test && wasmill build && wasmill run job.toml");
        Ok(())
    }
}
