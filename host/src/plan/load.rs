//! From the text of a job file to a plan.

use std::path::Path;

use crate::model::id::Parallelism;

use super::diagnostic::{Errors, JobText, SpecErrors};
use super::environment::Environment;
use super::graph::Plan;
use super::{resolve, spec};

/// Plans the job that `text`, the content of the file `path`, says with `overrides` (`name.name=value`, as of `--set`).
/// Relative paths in it are resolved against the file's folder. A job that names no parallelism gets `cores`, or its
/// `max_parallelism` if that is less.
pub fn load(
    path: &Path,
    text: &str,
    overrides: &[String],
    cores: Parallelism,
    env: &mut dyn Environment,
) -> Result<Plan, SpecErrors> {
    let text = JobText::new(&path.display().to_string(), text, overrides);
    let errors = Errors::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let plan = spec::read(&text, folder, &errors).and_then(|job| resolve::resolve(&job, cores, env, &errors));
    match plan {
        Some(plan) if errors.is_empty() => Ok(plan),
        _ => Err(SpecErrors::new(text, errors.into_list())),
    }
}
