//! What the planner asks of the world, so that planning itself is pure.

use std::path::Path;

use crate::model::id::PluginDigest;
use crate::model::schema::Schema;

use super::connector::SourceConnector;
use super::descriptor::{Descriptor, OperatorInfo};

pub trait Environment {
    /// The digest of a component and its operators. The error says what is wrong with the file, and what to do.
    fn describe(&mut self, plugin: &Path) -> Result<(PluginDigest, Vec<OperatorInfo>), String>;

    /// Opens an operator on its input schemas. `config` is JSON.
    fn open(&mut self, plugin: &Path, operator: &str, config: &str, inputs: &[Schema]) -> Result<Descriptor, String>;

    /// How many splits a source has now: with fewer than slots, its batches are rebalanced.
    fn splits(&mut self, source: &SourceConnector) -> Result<usize, String>;
}
