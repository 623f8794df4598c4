//! From the text of a job file to a plan.

use std::path::Path;

use crate::model::id::Parallelism;

use super::diagnostic::{Errors, JobText, SpecErrors};
use super::environment::Environment;
use super::graph::Plan;
use super::spec::JobSpec;
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
    checked(path, text, overrides, |job, errors| resolve::resolve(&job, cores, env, errors))
}

/// The same without a look at the world: for what needs no plan.
pub fn read(path: &Path, text: &str, overrides: &[String]) -> Result<JobSpec, SpecErrors> {
    checked(path, text, overrides, |job, _| Some(job))
}

fn checked<T>(
    path: &Path,
    text: &str,
    overrides: &[String],
    then: impl FnOnce(JobSpec, &Errors) -> Option<T>,
) -> Result<T, SpecErrors> {
    let text = JobText::new(&path.display().to_string(), text, overrides);
    let errors = Errors::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    match spec::read(&text, folder, &errors).and_then(|job| then(job, &errors)) {
        Some(result) if errors.is_empty() => Ok(result),
        _ => Err(SpecErrors::new(text, errors.into_list())),
    }
}
