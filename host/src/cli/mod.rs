//! The command line: one file for each subcommand, and no logic.

mod build;
mod checkpoint;
mod chosen;
mod explain;
mod generate;
mod inspect;
mod job_file;
mod new;
mod plan;
mod progress_view;
mod run;
mod running;
mod savepoint;
mod state;
mod status;
mod stop;
mod stop_signals;

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
    Status(status::Status),
    Savepoint(savepoint::Savepoint),
    Stop(stop::Stop),
    Explain(explain::Explain),
    Plan(plan::Plan),
    Checkpoint(checkpoint::Checkpoint),
    State(state::State),
    New(new::New),
    Build(build::Build),
    Inspect(inspect::Inspect),
    Generate(generate::Generate),
}

/// Parses the arguments, runs the subcommand, and reports its error in one message on stderr.
pub fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let result = match Cli::parse().command {
        Command::Run(command) => command.run().map(done),
        Command::Status(command) => command.run().map(done),
        Command::Savepoint(command) => command.run().map(done),
        Command::Stop(command) => command.run().map(done),
        Command::Explain(command) => command.run().map(done),
        Command::Plan(command) => command.run(),
        Command::Checkpoint(command) => command.run().map(done),
        Command::State(command) => command.run().map(done),
        Command::New(command) => command.run().map(done),
        Command::Build(command) => command.run().map(done),
        Command::Inspect(command) => command.run().map(done),
        Command::Generate(command) => command.run().map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
