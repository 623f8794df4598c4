use std::process::ExitCode;

use clap::Args;

use super::job_file::JobFile;
use crate::control::checkpoint::catalog::job_place;
use crate::control::checkpoint::compatibility::Finding;
use crate::control::checkpoint::restore::Origin;
use crate::control::job::no_checkpoints;
use crate::storage::decisions;

/// Say what would become of a checkpoint's state if the job started from it now; nothing is started or stopped
///
/// By state: whether it goes on, is new, is dropped or cannot be read. The exit code is 1 where `wasmill run` would refuse.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    job: JobFile,
    /// The checkpoint or savepoint: its folder, or the URL of it [default: the one that the job goes on from]
    #[arg(long, value_name = "PATH")]
    from: Option<String>,
    /// As of `run`: dropping state is no reason to refuse
    #[arg(long)]
    allow_non_restored_state: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let plan = self.job.plan()?;
        let checkpoints = plan.checkpoints.as_ref().ok_or_else(|| no_checkpoints(&plan.name))?;
        let place = job_place(&checkpoints.location, &plan.name)?;
        let (origin, refusal) = match &self.from {
            Some(path) => {
                let named = Origin::named(path, Some(&checkpoints.location))?;
                let last = place.as_ref().map(decisions::last).transpose()?.flatten();
                let last = last.as_ref().map(|(_, record)| record);
                let refusal = named.check_named(checkpoints.transactions.is_some(), last).err();
                (Some(named), refusal)
            }
            None => (place.as_ref().map(Origin::latest).transpose()?.flatten(), None),
        };
        let findings = origin.as_ref().map(|origin| origin.findings(&plan)).transpose()?.unwrap_or_default();
        let is_refused =
            refusal.is_some() || findings.iter().any(|finding| finding.is_refused(self.allow_non_restored_state));
        match self.json {
            true => print_json(origin.as_ref(), &findings, is_refused)?,
            false => {
                print(origin.as_ref(), &findings, is_refused);
                if self.from.is_none() && checkpoints.transactions.is_some() {
                    println!("{KAFKA_DECIDES}");
                }
            }
        }
        if let Some(refusal) = refusal {
            eprintln!("{refusal}");
        }
        Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// `plan` asks no broker.
const KAFKA_DECIDES: &str = "the job delivers exactly once to Kafka, which decides what it goes on from: after a host that \
                             died, that may be one checkpoint newer";

fn print(origin: Option<&Origin>, findings: &[Finding], is_refused: bool) {
    let Some(origin) = origin else {
        println!("the job has no checkpoint: it starts from nothing");
        return;
    };
    println!("from {} {} in {}", origin.manifest.kind, origin.manifest.checkpoint, origin.path());
    findings.iter().for_each(|finding| println!("  {finding}"));
    if origin.manifest.is_finished {
        println!("the job had finished with it: nothing goes on from there");
    }
    if is_refused {
        println!("`wasmill run` would refuse this");
    }
}

fn print_json(origin: Option<&Origin>, findings: &[Finding], is_refused: bool) -> anyhow::Result<()> {
    let from = origin.map(|origin| {
        serde_json::json!({
            "checkpoint": origin.manifest.checkpoint,
            "kind": origin.manifest.kind,
            "path": origin.path(),
            "is_finished": origin.manifest.is_finished,
        })
    });
    let plan = serde_json::json!({ "from": from, "is_refused": is_refused, "findings": findings });
    println!("{}", serde_json::to_string_pretty(&plan)?);
    Ok(())
}
