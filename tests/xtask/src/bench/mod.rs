//! `cargo xtask bench`: each case is measured several times, in turns with its references, and compared by medians.

mod case;
mod clicks;
mod measure;
mod report;
mod stand;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use case::{CASES, Case, Kind, Reference, Subject};
use measure::Sample;
use report::{Report, Row};
use stand::Stand;

/// Measure, beside the programs that Wasmill is compared with
#[derive(Debug, Args)]
pub struct Bench {
    /// Cases by name; `clicks` is every case that starts with `clicks.` [default: all]
    cases: Vec<String>,
    /// Append one JSON object for each comparison to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also run another system's programs (Flink: Java 17, and 330 MB once)
    #[arg(long, value_name = "SYSTEM")]
    against: Option<System>,
    /// Runs of each program
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only list the cases
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum System {
    Flink,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let cases = chosen(&self.cases)?;
        if self.list {
            cases.iter().for_each(|case| println!("{:<22}{}", case.name, case.about));
            return Ok(());
        }
        let stand = Stand::set_up()?;
        let mut report = Report::start(self.json.as_deref())?;
        for case in cases {
            for row in self.compare(case, &stand)? {
                report.add(&row)?;
            }
        }
        Ok(())
    }

    fn compare(&self, case: &Case, stand: &Stand) -> Result<Vec<Row>> {
        match &case.kind {
            Kind::Processes { ours, references } => self.compare_processes(case, stand, ours, references),
            Kind::Reports { command, reference, read } => {
                let (mut compared, mut rss_mb) = (Vec::new(), Vec::new());
                for _ in self.each_run(case) {
                    let run = measure::run(&mut command(stand)?)?;
                    compared.push(read(&run.stdout)?);
                    rss_mb.push(run.rss_mb);
                }
                Ok(vec![Row {
                    case: case.name,
                    value: measure::median(compared.iter().map(|compared| compared.value)),
                    unit: case.unit,
                    reference: Some(reference),
                    ratio: Some(measure::median(compared.iter().map(|compared| compared.ratio))),
                    rss_mb: measure::median(rss_mb.into_iter()),
                }])
            }
        }
    }

    /// One row for each reference, or a single one for a case that has none.
    fn compare_processes(
        &self,
        case: &Case,
        stand: &Stand,
        subject: &Subject,
        references: &'static [Reference],
    ) -> Result<Vec<Row>> {
        let references: Vec<&Reference> =
            references.iter().filter(|r| !r.is_flink() || self.against == Some(System::Flink)).collect();
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); references.len()];
        for _ in self.each_run(case) {
            ours.push(subject.measure(stand)?);
            for (reference, samples) in references.iter().zip(&mut theirs) {
                samples.push(reference.subject.measure(stand)?);
            }
        }
        let value_of = |samples: &[Sample]| measure::median(samples.iter().map(|sample| sample.value));
        let value = value_of(&ours);
        let rss_mb = measure::median(ours.iter().map(|sample| sample.rss_mb));
        let row = |reference: Option<(&'static str, f64)>| Row {
            case: case.name,
            value,
            unit: case.unit,
            reference: reference.map(|(name, _)| name),
            ratio: reference.map(|(_, reference)| value / reference),
            rss_mb,
        };
        if references.is_empty() {
            return Ok(vec![row(None)]);
        }
        Ok(references.iter().zip(&theirs).map(|(r, samples)| row(Some((r.name, value_of(samples))))).collect())
    }

    fn each_run(&self, case: &Case) -> impl Iterator<Item = u32> + use<> {
        let (runs, name) = (self.runs, case.name);
        (1..=runs).inspect(move |run| eprintln!("{name}: run {run} of {runs}"))
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(CASES.iter().collect());
    }
    let mut cases = Vec::new();
    for name in names {
        let before = cases.len();
        cases.extend(CASES.iter().filter(|case| case.is_named(name)));
        if cases.len() == before {
            let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            bail!("no case `{name}`; there are: {}", known.join(", "));
        }
    }
    Ok(cases)
}
