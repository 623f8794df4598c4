use std::path::PathBuf;

use clap::Args;

use super::inspect::describe;
use crate::sandbox::component::Plugin;
use crate::toolchain::{self, BuildRequest, Built};

/// Build operators: from a cargo project to checked components
///
/// Finds a compiler for the sandbox's target, builds, makes a component of the result, refuses it when it imports
/// anything but telemetry, and prints what is in it.
#[derive(Debug, Args)]
pub struct Build {
    /// Folder of a cargo package, or of a workspace with operator packages
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Only this package (may be given several times)
    #[arg(long, short, value_name = "NAME")]
    package: Vec<String>,
    /// Folder for the components [default: PATH]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Build {
    pub fn run(self) -> anyhow::Result<()> {
        let request = BuildRequest { project: self.path, packages: self.package, out: self.out };
        for built in toolchain::build(&request)? {
            print(&built)?;
            built.warning.iter().for_each(|warning| eprintln!("warning: {warning}"));
        }
        Ok(())
    }
}

fn print(built: &Built) -> anyhow::Result<()> {
    let component = &built.component;
    println!("{}", built.path.display());
    println!("  size    {}", indicatif::BinaryBytes(component.size()));
    println!("  digest  {}", component.digest());
    let plugin = Plugin::load(&built.path, false).map_err(anyhow::Error::msg)?;
    for line in plugin.operators.iter().flat_map(describe) {
        println!("  {line}");
    }
    Ok(())
}
