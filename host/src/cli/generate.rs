use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::connectors::write_events;
use crate::model::time::Micros;
use crate::plan::connector::{GeneratedEvents, GeneratorSource, SinkFormat};

/// Write a generator's events to a file: the same for the same settings, whoever makes them
#[derive(Debug, Args)]
pub struct Generate {
    events: Events,
    /// How many
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    count: u64,
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Event times are behind by 0 to this much
    #[arg(long, default_value = "5s")]
    out_of_orderness: humantime::Duration,
    /// Clicks: the event time that they are spread over
    #[arg(long, default_value = "1h")]
    span: humantime::Duration,
    /// Keyed events: how many keys
    #[arg(long, default_value_t = 1_000)]
    keys: u64,
    /// Keyed events: how many in a millisecond of event time
    #[arg(long, default_value_t = 1_000)]
    per_milli: u64,
    /// Keyed events: each key once at first
    #[arg(long)]
    fill: bool,
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// The file [default: standard output]
    #[arg(long, short)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Events {
    /// user_id, action, timestamp, page, ad_id, ip
    Clicks,
    /// key, timestamp, value, payload
    Keyed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Csv,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        let micros = |length: humantime::Duration| Micros::from(*length);
        let source = GeneratorSource {
            events: match self.events {
                Events::Clicks => GeneratedEvents::Clicks { span: micros(self.span) },
                Events::Keyed => GeneratedEvents::Keyed { keys: self.keys, per_milli: self.per_milli, fill: self.fill },
            },
            count: Some(self.count),
            rate: None,
            seed: self.seed,
            out_of_orderness: micros(self.out_of_orderness),
            splits: 1,
        };
        let format = match self.format {
            Format::Json => SinkFormat::Json,
            Format::Csv => SinkFormat::Csv,
        };
        let mut out: Box<dyn Write> = match &self.out {
            None => Box::new(io::stdout().lock()),
            Some(path) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)
                        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
                }
                let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
                Box::new(BufWriter::new(file))
            }
        };
        write_events(&source, format, &mut out)?;
        Ok(())
    }
}
