//! What this host tells the planner of the world.

use std::path::Path;

use crate::connectors;
use crate::model::id::{PluginDigest, Uid};
use crate::model::schema::Schema;
use crate::plan::connector::SourceConnector;
use crate::plan::descriptor::{Descriptor, OperatorInfo};
use crate::plan::environment::Environment;
use crate::plan::graph::{PluginLimits, PluginRef};
use crate::sandbox::component::Plugin;
use crate::sandbox::instance::open_descriptor;

/// Files and the sandbox of this process.
#[derive(Debug, Default)]
pub struct HostEnvironment;

impl Environment for HostEnvironment {
    fn describe(&mut self, plugin: &Path) -> Result<(PluginDigest, Vec<OperatorInfo>), String> {
        let plugin = Plugin::load(plugin, false)?;
        Ok((plugin.digest.clone(), plugin.operators.clone()))
    }

    fn open(&mut self, path: &Path, operator: &str, config: &str, inputs: &[Schema]) -> Result<Descriptor, String> {
        let plugin = Plugin::load(path, false)?;
        let info = plugin.operator(operator).ok_or_else(|| format!("there is no operator `{operator}` in it"))?;
        let reference = PluginRef {
            path: path.to_owned(),
            digest: plugin.digest.clone(),
            operator: operator.to_owned(),
            config: config.to_owned(),
            inputs: inputs.to_vec(),
        };
        open_descriptor(&plugin, info.kind, &Uid::from(operator), &reference, PluginLimits::default())
    }

    fn splits(&mut self, source: &SourceConnector) -> Result<usize, String> {
        connectors::count_splits(source)
    }
}
