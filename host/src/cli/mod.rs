//! The command line: one file for each subcommand, and no logic.

mod build;
mod explain;
mod generate;
mod inspect;
mod job_file;
mod new;
mod progress_view;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A stream processor whose operators are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "wasmill", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Explain(explain::Explain),
    New(new::New),
    Build(build::Build),
    Inspect(inspect::Inspect),
    Generate(generate::Generate),
}

/// Parses the arguments, runs the subcommand, and reports its error in one message on stderr.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::New(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Generate(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
