use std::path::{Path, PathBuf};

use wasmill::control::environment::HostEnvironment;
use wasmill::model::id::{Parallelism, PluginDigest};
use wasmill::model::schema::Schema;
use wasmill::plan::connector::SourceConnector;
use wasmill::plan::descriptor::{Descriptor, OperatorInfo};
use wasmill::plan::environment::Environment;
use wasmill::plan::explain;
use wasmill::plan::load::load;

use crate::Target;

/// A job file: it has a plan, or a list of mistakes, and either can be shown. Its plugins are the samples.
pub const JOB_FILE: Target = Target {
    name: "job_file",
    run,
    seeds,
    tokens: &[
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        "\"",
        "'",
        "\n",
        "é",
        "-1",
        "99999999999999999999",
        "1e999",
        "true",
        "\"0s\"",
        "[[sinks]]",
        "key_by = []",
        "inputs = [\"clicks\"]",
        "parallelism = 3\n",
        "schema = { a = \"list<i64>\" }",
    ],
    cases: 2_000,
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = std::fs::read_dir(repository().join("tests/jobs")).expect("the repository's jobs");
    let mut files: Vec<PathBuf> = folder.flatten().map(|file| file.path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a job file")).collect()
}

/// The sample plugins by name, wherever the job says that they are; no file is looked for anywhere else.
struct Samples(HostEnvironment);

fn sample(plugin: &Path) -> Result<PathBuf, String> {
    let path = plugin.file_name().map(|name| repository().join("target/plugins").join(name));
    path.filter(|path| path.is_file()).ok_or_else(|| format!("there is no sample {}", plugin.display()))
}

impl Environment for Samples {
    fn describe(&mut self, plugin: &Path) -> Result<(PluginDigest, Vec<OperatorInfo>), String> {
        self.0.describe(&sample(plugin)?)
    }

    fn open(&mut self, plugin: &Path, operator: &str, config: &str, inputs: &[Schema]) -> Result<Descriptor, String> {
        self.0.open(&sample(plugin)?, operator, config, inputs)
    }

    fn splits(&mut self, _: &SourceConnector) -> Result<usize, String> {
        Ok(4)
    }
}

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match load(Path::new("/job/job.toml"), text, &[], Parallelism::ONE, &mut Samples(HostEnvironment)) {
        Ok(plan) => drop((explain::tree(&plan), explain::dot(&plan))),
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
}
