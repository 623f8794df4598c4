//! What `cargo xtask bench` runs beside `wasmill` itself.

mod boundary;
mod clock;
mod count;
mod events;
mod operators;
mod topics;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
enum Arguments {
    /// An operator in its sandbox, beside the same source natively: nanoseconds an event
    Boundary {
        /// The folder that `cargo xtask plugins` builds into
        plugins: PathBuf,
        /// `map.1024`: an operator, and the rows of a batch
        #[arg(required = true)]
        cases: Vec<boundary::Case>,
        /// Of each side, in turns
        #[arg(long, default_value_t = 11)]
        samples: usize,
    },
    /// `tests/jobs/count.toml` as `wasmill run` runs it, with the operator in plain Rust
    Count {
        job: PathBuf,
        #[arg(long)]
        set: Vec<String>,
    },
    /// Topics of Apache Kafka, by a client that is not Wasmill's
    Topics {
        /// Such as `127.0.0.1:9092`
        brokers: String,
        #[command(subcommand)]
        what: topics::Topics,
    },
}

fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Boundary { plugins, cases, samples } => {
            for case in cases {
                println!("{}", case.measure(&plugins, samples)?);
            }
            Ok(())
        }
        Arguments::Count { job, set } => count::run(&job, &set),
        Arguments::Topics { brokers, what } => {
            println!("{}", what.run(&brokers)?);
            Ok(())
        }
    }
}
