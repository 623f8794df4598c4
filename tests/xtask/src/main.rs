//! `cargo xtask`: what a developer of Wasmill types.

mod bench;
mod chaos;
mod demo;
mod kafka;
mod plugins;
mod repo;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of Wasmill's developers
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Test(test::Test),
    Plugins(plugins::Plugins),
    Bench(bench::Bench),
    Kafka(kafka::Kafka),
    Chaos(chaos::Chaos),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Plugins(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Kafka(command) => command.run(),
        Command::Chaos(command) => command.run(),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::from(error.downcast_ref::<repo::Exit>().map_or(1, |exit| exit.code))
}
