use std::io::{BufWriter, Write};

use clap::{Args, Subcommand};

use super::chosen::Chosen;
use crate::control::checkpoint::reading::{Entry, StateReader};

/// Read the state of any checkpoint or savepoint, by the schemas that stand in it; no plugin is needed
#[derive(Debug, Args)]
pub struct State {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The value of one key; an error if it has none
    Get {
        #[command(flatten)]
        of: Of,
        /// JSON: an object of the key's columns or, where it has one column, its value; what is not JSON is text
        #[arg(long, value_name = "KEY")]
        key: String,
    },
    /// Keys and values, in no order
    Scan {
        #[command(flatten)]
        of: Of,
        /// No more than so many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Of {
    #[command(flatten)]
    chosen: Chosen,
    operator: String,
    /// The name of a state or a timer; `windows` of a window
    state: String,
    /// As JSON objects with `key` and `value`, a line each [default: both as JSON, with a tab between them]
    #[arg(long)]
    json: bool,
}

impl State {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Get { of, key } => {
                let read = of.print(u64::MAX, |reader, take| reader.get(&key, take))?;
                anyhow::ensure!(read > 0, "`{}` has no `{}` for the key {key}", of.operator, of.state);
            }
            Command::Scan { of, limit } => drop(of.print(limit.unwrap_or(u64::MAX), |reader, take| reader.scan(take))?),
        }
        Ok(())
    }
}

impl Of {
    /// Returns how many there were.
    fn print(
        &self,
        limit: u64,
        read: impl FnOnce(&StateReader<'_>, &mut dyn FnMut(Entry) -> bool) -> Result<(), crate::model::fault::Fault>,
    ) -> anyhow::Result<u64> {
        let origin = self.chosen.origin()?;
        let reader = StateReader::open(&origin, &self.operator, &self.state)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut printed, mut written) = (0, Ok(()));
        if limit > 0 {
            read(&reader, &mut |Entry { key, value }| {
                written = match self.json {
                    true => writeln!(out, "{{\"key\":{key},\"value\":{value}}}"),
                    false => writeln!(out, "{key}\t{value}"),
                };
                printed += 1;
                // Nobody reads any more, such as `head`.
                printed < limit && written.is_ok()
            })?;
        }
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(printed),
        }
    }
}
