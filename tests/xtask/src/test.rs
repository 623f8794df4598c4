use anyhow::Result;
use clap::Args;

use crate::setup::{self, Need};
use crate::{plugins, repo};

/// Install what is missing, build everything, and pass every test
///
/// Installs a C++ compiler with libclang, OpenSSL and zlib (RocksDB and librdkafka are built with them), the WebAssembly
/// target of Rust (operators are compiled for it) and python3 (the tests compare results with an independent oracle),
/// Java 17 and Maven (they run a real Kafka broker, which Maven fetches), when they are missing, and into
/// `~/.cache/wasmill` a server that speaks S3.
#[derive(Debug, Args)]
pub struct Test {
    /// For the test programs: filters, and options such as `--nocapture` behind `--`
    #[arg(value_name = "FILTER")]
    arguments: Vec<String>,
}

impl Test {
    pub fn run(self) -> Result<()> {
        setup::ensure(&[Need::NativeBuild, Need::GuestCompiler, Need::Python])?;
        setup::ensure_kafka()?;
        setup::ensure_s3()?;
        let wasmill = repo::program(repo::HOST_PACKAGE)?;
        plugins::build(&wasmill, &plugins::all()?)?;
        repo::run(&mut repo::cargo(&["fmt", "--all", "--check"]))?;
        // With the programs that `cargo fuzz` builds, which are built at no other time.
        let features = ["--features", "wasmill-fuzz/libfuzzer"];
        let lints = ["clippy", "--release", "--workspace", "--all-targets"];
        repo::run(repo::cargo(&lints).args(features).args(["--", "-D", "warnings"]))?;
        let mut tests = repo::cargo(&["test", "--release", "--workspace", "--"]);
        if !setup::can_mount() {
            println!("not tested, because nothing can be mounted here: a disk that is full (`full_disk`)");
            tests.args(["--skip", "full_disk"]);
        }
        repo::run(tests.args(&self.arguments))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        test: Test,
    }

    #[test]
    fn filters_need_no_dashes_and_options_do() {
        let arguments = |typed: &[&str]| Alone::try_parse_from(typed).unwrap().test.arguments;
        assert_eq!(arguments(&["test", "simulation"]), ["simulation"]);
        assert_eq!(arguments(&["test", "simulation", "--", "--nocapture"]), ["simulation", "--nocapture"]);
        assert!(arguments(&["test"]).is_empty());
    }
}
