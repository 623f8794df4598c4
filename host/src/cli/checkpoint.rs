use clap::{Args, Subcommand};
use indicatif::{BinaryBytes, HumanCount};

use super::chosen::Chosen;
use super::job_file::JobFile;
use crate::control::checkpoint::catalog::{Contents, Found, Listed, NodeContents, contents, job_place, list};
use crate::model::time::Timestamp;

/// Show the checkpoints and savepoints of a job, and what is in one; the job may run or not
#[derive(Debug, Args)]
pub struct Checkpoint {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Those in the job's place, by number, and why one cannot be read; `*` marks the one that the job goes on from
    List {
        #[command(flatten)]
        job: JobFile,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What one consists of: by operator its state (key groups, entries, bytes), and the positions of sources
    Inspect {
        #[command(flatten)]
        chosen: Chosen,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Checkpoint {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List { job, json } => {
                let (name, checkpoints) = job.checkpoints()?;
                let place = job_place(&checkpoints.location, &name)?;
                let listed = place.as_ref().map(list).transpose()?.unwrap_or_default();
                match json {
                    true => println!("{}", serde_json::to_string_pretty(&listed)?),
                    false if listed.is_empty() => eprintln!("the job `{name}` has no checkpoint yet"),
                    false => listed.iter().for_each(|found| println!("{}", line(found))),
                }
            }
            Command::Inspect { chosen, json } => {
                let contents = contents(&chosen.origin()?)?;
                match json {
                    true => println!("{}", serde_json::to_string_pretty(&contents)?),
                    false => print(&contents),
                }
            }
        }
        Ok(())
    }
}

fn line(found: &Found) -> String {
    let mark = |is_last: bool| if is_last { '*' } else { ' ' };
    match found {
        Found::Readable(entry) => readable(mark(entry.is_last), entry),
        Found::Unreadable(found) => {
            let number = found.checkpoint.map_or("?".to_owned(), |number| number.to_string());
            format!("{} {number:>6}  cannot be read: {}", mark(found.is_last), found.unreadable)
        }
    }
}

fn readable(mark: char, entry: &Listed) -> String {
    let finished = if entry.is_finished { "  finished" } else { "" };
    format!(
        "{mark} {:>6}  {:<10}  {}  {:>12}{finished}  {}",
        entry.checkpoint,
        entry.kind.to_string(),
        Timestamp(entry.created),
        BinaryBytes(entry.bytes).to_string(),
        entry.path
    )
}

fn print(contents: &Contents) {
    let Contents { checkpoint, .. } = contents;
    println!("{} {} of {}", checkpoint.kind, checkpoint.checkpoint, contents.job);
    println!("  path         {}", checkpoint.path);
    println!("  made         {} by wasmill {}", Timestamp(checkpoint.created), contents.wasmill);
    println!("  job          {}, start {}", contents.job_id, contents.incarnation);
    println!("  state        {} in {} files", BinaryBytes(checkpoint.bytes), contents.files);
    println!("  key groups   {}", contents.max_parallelism);
    if checkpoint.is_finished {
        println!("  the job had finished: nothing goes on from it");
    }
    contents.nodes.iter().for_each(print_node);
}

fn print_node(node: &NodeContents) {
    println!("{} {}", node.kind, node.uid);
    let columns: Vec<String> = node.key.iter().map(|field| format!("{}: {}", field.name, field.data_type)).collect();
    if !columns.is_empty() {
        println!("  key          {}", columns.join(", "));
    }
    if let Some(watermark) = node.watermark {
        println!("  watermark    {}", Timestamp(watermark));
    }
    for state in &node.state {
        println!("  {}: {}", state.content, state.names.join(", "));
        let entries = state.entries.map(|entries| format!("{} entries in ", HumanCount(entries))).unwrap_or_default();
        println!("    {entries}{} key groups, {}", state.key_groups, BinaryBytes(state.bytes));
    }
    for split in &node.splits {
        let position = split.split.position.as_ref().map_or("at its end".to_owned(), ToString::to_string);
        println!("  split {}: {position}", split.split.name);
    }
    if node.committables > 0 {
        println!("  committables {}", node.committables);
    }
}
