use std::path::PathBuf;

use clap::Args;

use crate::plan::descriptor::{OperatorInfo, OperatorKind};
use crate::plan::graph::BROADCAST_INPUT;
use crate::sandbox::component::Plugin;

/// Say what is in a component: its operators, what they read, their keys
#[derive(Debug, Args)]
pub struct Inspect {
    /// The component, as `wasmill build` writes it
    component: PathBuf,
}

impl Inspect {
    pub fn run(self) -> anyhow::Result<()> {
        let plugin = Plugin::load(&self.component, false).map_err(anyhow::Error::msg)?;
        println!("{}", self.component.display());
        println!("  size    {}", indicatif::BinaryBytes(plugin.bytes as u64));
        println!("  digest  {}", plugin.digest);
        for operator in &plugin.operators {
            describe(operator).iter().for_each(|line| println!("  {line}"));
        }
        Ok(())
    }
}

/// An operator in a few lines, for people.
pub fn describe(operator: &OperatorInfo) -> Vec<String> {
    let kind = match operator.kind {
        OperatorKind::Process => "process",
        OperatorKind::Aggregate => "aggregate",
    };
    let summary = if operator.summary.is_empty() { String::new() } else { format!(": {}", operator.summary) };
    let mut lines = vec![format!("{kind} {}{summary}", operator.name)];
    for (number, input) in operator.inputs.iter().enumerate() {
        let reads = if number == BROADCAST_INPUT { "broadcast" } else { "reads " };
        lines.push(match (input.columns.fields().is_empty(), input.generic) {
            (true, true) => format!("  {reads} whatever its settings name"),
            (true, false) => format!("  {reads} nothing"),
            (false, true) => format!("  {reads} {} (and whatever its settings name)", input.columns),
            (false, false) => format!("  {reads} {}", input.columns),
        });
    }
    if operator.keyed {
        lines.push(format!("  key    {}", operator.key));
    }
    lines
}
