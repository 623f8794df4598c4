//! `cargo xtask bench`: each case is measured several times, in turns with its references, and compared by medians.

mod case;
mod cases;
mod click_counts;
mod flink;
mod job;
mod live;
mod measure;
mod report;
mod stand;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use case::{Case, Figure, Kind, Reference, Sample, Subject};
use report::{Report, Row};
use stand::Stand;

/// Measure, beside the programs that Wasmill is compared with
#[derive(Debug, Args)]
pub struct Bench {
    /// Cases by name: `clicks` is every case that starts with `clicks.`, `count.1m.ck10` every `count.` case that also has
    /// these parts [default: all]
    cases: Vec<String>,
    /// Append one JSON object for each comparison to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also run another system's programs (Flink: Java 17 and Maven, and 350 MB once)
    #[arg(long, value_name = "SYSTEM")]
    against: Option<System>,
    /// Runs of each program
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Events (or keys, where a case counts those) instead of as many as a case wants: to try it, not to measure
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
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
        let cases = self.chosen()?;
        if self.list {
            cases.iter().for_each(|case| println!("{:<36}{}", case.name, case.about));
            return Ok(());
        }
        let stand = Stand::set_up()?;
        let mut report = Report::start(self.json.as_deref())?;
        for case in &cases {
            for row in self.compare(case, &stand)? {
                report.add(&row)?;
            }
        }
        Ok(())
    }

    fn chosen(&self) -> Result<Vec<Case>> {
        let all = cases::all(self.events);
        for name in &self.cases {
            if !all.iter().any(|case| case.is_named(name)) {
                let known: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
                bail!("no case `{name}`; there are: {}", known.join(", "));
            }
        }
        let is_chosen = |case: &Case| self.cases.is_empty() || self.cases.iter().any(|name| case.is_named(name));
        Ok(all.into_iter().filter(is_chosen).collect())
    }

    fn compare(&self, case: &Case, stand: &Stand) -> Result<Vec<Row>> {
        match &case.kind {
            Kind::Measured { figures, ours, references } => self.measure(case, stand, figures, ours, references),
            Kind::Reports { command, unit, reference, read } => {
                let (mut compared, mut rss_mb) = (Vec::new(), Vec::new());
                for _ in self.each_run(case) {
                    let run = measure::run(&mut command(stand)?)?;
                    compared.push(read(&run.stdout)?);
                    rss_mb.push(run.rss_mb);
                }
                Ok(vec![Row {
                    case: case.name.clone(),
                    value: measure::median(compared.iter().map(|compared| compared.value)),
                    unit,
                    reference: Some((*reference).to_owned()),
                    ratio: Some(measure::median(compared.iter().map(|compared| compared.ratio))),
                    rss_mb: measure::median(rss_mb.into_iter()),
                }])
            }
        }
    }

    /// For each figure one row for each reference that has it, or a single one where none has.
    fn measure(
        &self,
        case: &Case,
        stand: &Stand,
        figures: &[Figure],
        subject: &Subject,
        references: &[Reference],
    ) -> Result<Vec<Row>> {
        let references: Vec<&Reference> =
            references.iter().filter(|r| !r.is_flink() || self.against == Some(System::Flink)).collect();
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); references.len()];
        for _ in self.each_run(case) {
            ours.push(subject(stand)?);
            for (reference, samples) in references.iter().zip(&mut theirs) {
                samples.push((reference.subject)(stand)?);
            }
        }
        let rss_mb = measure::median(ours.iter().map(|sample| sample.rss_mb));
        let mut rows = Vec::new();
        for (i, figure) in figures.iter().enumerate() {
            let value = median(&ours, i);
            let row = |reference: Option<(&str, f64)>| Row {
                case: case.name.clone() + figure.name,
                value,
                unit: figure.unit,
                reference: reference.map(|(name, _)| name.to_owned()),
                ratio: reference.map(|(_, theirs)| figure.ratio(value, theirs)),
                rss_mb,
            };
            let theirs = references.iter().zip(&theirs).map(|(r, samples)| (r.name.as_str(), median(samples, i)));
            let told: Vec<_> = theirs.filter(|(_, theirs)| theirs.is_finite()).collect();
            if told.is_empty() {
                rows.push(row(None));
            }
            rows.extend(told.into_iter().map(|theirs| row(Some(theirs))));
        }
        Ok(rows)
    }

    fn each_run(&self, case: &Case) -> impl Iterator<Item = u32> + use<> {
        let (runs, name) = (self.runs, case.name.clone());
        (1..=runs).inspect(move |run| eprintln!("{name}: run {run} of {runs}"))
    }
}

fn median(samples: &[Sample], figure: usize) -> f64 {
    measure::median(samples.iter().filter_map(|sample| sample.figures[figure]))
}
