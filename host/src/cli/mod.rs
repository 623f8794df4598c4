//! The command line: one file for each subcommand, and no logic.

mod build;
mod new;

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
    New(new::New),
    Build(build::Build),
}

/// Parses the arguments, runs the subcommand, and reports its error in one message on stderr.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::New(command) => command.run(),
        Command::Build(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
