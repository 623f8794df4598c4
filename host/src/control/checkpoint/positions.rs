//! What becomes of the positions of a source when a job goes on.

use std::collections::BTreeSet;

use crate::connectors::Names;
use crate::dataplane::split::SplitState;
use crate::plan::connector::SourcePlan;
use crate::storage::manifest::{InputRecord, NodeRecord};

use super::compatibility::Verdict;
use super::record::input_record;
use super::restore::absolute;

/// What a source remembers.
pub const POSITION: &str = "position";

/// Parts of what a source remembers, and what becomes of them. `then_input` is what it read; `None` = that is not known.
pub fn compare(then: &NodeRecord, then_input: Option<&InputRecord>, source: &SourcePlan) -> Vec<(String, Verdict)> {
    let refused = |why| vec![(POSITION.to_owned(), Verdict::Incompatible(why))];
    let input = input_record(&source.connector);
    if let Some(why) = then_input.and_then(|then| refusal(then, &input)) {
        return refused(why);
    }
    let names = match Names::of(&source.connector) {
        Ok(names) => names,
        Err(fault) => return refused(fault.message),
    };
    let splits = then.splits.iter().map(|split| &split.split);
    let (kept, dropped): (Vec<&SplitState>, Vec<&SplitState>) = splits.partition(|split| names.has(split));
    let of = |splits: &[&SplitState]| -> BTreeSet<String> {
        splits.iter().filter_map(|split| names.name_of(split)).collect()
    };
    let new = new_topics(&input, &of(&kept));
    let mut found = Vec::new();
    if !kept.is_empty() || (dropped.is_empty() && new.is_empty()) {
        found.push((POSITION.to_owned(), Verdict::Compatible));
    }
    found.extend(position_in(&of(&dropped)).map(|what| (what, Verdict::Dropped)));
    found.extend(position_in(&new).map(|what| (what, Verdict::New)));
    found
}

/// Topics that were not read. What patterns mean is known when brokers are asked.
fn new_topics(input: &InputRecord, known: &BTreeSet<String>) -> BTreeSet<String> {
    let InputRecord::Kafka { topics, bounded: false } = input else { return BTreeSet::new() };
    topics.iter().filter(|topic| !topic.starts_with('^') && !known.contains(*topic)).cloned().collect()
}

/// `None` = in nothing.
fn position_in(names: &BTreeSet<String>) -> Option<String> {
    let first = names.first()?;
    Some(match names.len() {
        1 => format!("{POSITION} in `{first}`"),
        several => format!("{POSITION} in `{first}` and {} more", several - 1),
    })
}

/// Why a source cannot go on with what it reads now.
fn refusal(then: &InputRecord, now: &InputRecord) -> Option<String> {
    let why = match (then, now) {
        (
            InputRecord::File { path: then_path, follow: then_follow, parquet: then_parquet },
            InputRecord::File { path, follow, parquet },
        ) => match () {
            () if (then_follow, then_parquet) != (follow, parquet) => changed(then, now),
            () if !follow && !is_same_place(then_path, path) => settled(&format!("the files of `{then_path}`"), path),
            () => return None,
        },
        (InputRecord::Kafka { topics: then_topics, bounded: then_bounded }, InputRecord::Kafka { topics, bounded }) => {
            match topics.iter().find(|topic| !then_topics.contains(topic)) {
                _ if then_bounded != bounded => changed(then, now),
                Some(topic) if *bounded => settled(&format!("the topics `{}`", then_topics.join("`, `")), topic),
                _ => return None,
            }
        }
        (InputRecord::Generator, InputRecord::Generator) | (InputRecord::Stdin, InputRecord::Stdin) => return None,
        (then, now) => changed(then, now),
    };
    Some(format!("{why}; under another name, the source begins anew"))
}

fn changed(then: &InputRecord, now: &InputRecord) -> String {
    format!("it read {}, and reads {}", describe(then), describe(now))
}

fn settled(then: &str, now: &str) -> String {
    format!("what it reads was settled when the job first started, {then}: `{now}` would not be read")
}

fn describe(input: &InputRecord) -> &'static str {
    match input {
        InputRecord::File { parquet: true, .. } => "Parquet files",
        InputRecord::File { follow: true, .. } => "files of lines that it followed (`follow`)",
        InputRecord::File { .. } => "files of lines as they were",
        InputRecord::Generator => "what a generator makes",
        InputRecord::Kafka { bounded: true, .. } => "topics up to the ends that they had (`bounded`)",
        InputRecord::Kafka { .. } => "topics without an end",
        InputRecord::Stdin => "standard input",
    }
}

/// A job may be started by another name of its folder.
fn is_same_place(then: &str, now: &str) -> bool {
    then == now || matches!((absolute(then), absolute(now)), (Ok(then), Ok(now)) if then == now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dataplane::snapshot::SourceSplit;
    use crate::model::id::Uid;
    use crate::model::schema::Schema;
    use crate::model::time::Micros;
    use crate::plan::connector::{FileSource, Format, SourceConnector};
    use crate::plan::location::Location;
    use crate::storage::manifest::Shape;

    fn files(path: &str, follow: bool, format: Format) -> SourcePlan {
        let (path, discover_interval) = (Location::Folder(path.into()), Micros(1));
        let connector = SourceConnector::File(FileSource { path, format, split_bytes: 1, follow, discover_interval });
        SourcePlan { connector, schema: Schema::empty(), time: None }
    }

    fn node(splits: Vec<SplitState>) -> NodeRecord {
        NodeRecord {
            uid: Uid::from("in"),
            shape: Shape::Source { input: None },
            watermark: None,
            ahead: Vec::new(),
            latest: None,
            splits: splits.into_iter().map(|split| SourceSplit { split, latest: None }).collect(),
            in_flight: None,
            slots: Vec::new(),
            committables: Vec::new(),
        }
    }

    fn file(path: &str) -> SplitState {
        let position = json!({ "path": path, "start": 0, "end": null, "at": null });
        SplitState { name: format!("{path}@0").as_str().into(), position: Some(position) }
    }

    fn compared(then: &SourcePlan, splits: &[&str], now: &SourcePlan) -> Vec<(String, Verdict)> {
        let splits = splits.iter().map(|path| file(path)).collect();
        compare(&node(splits), Some(&input_record(&then.connector)), now)
    }

    #[test]
    fn files_that_were_there_are_those_that_are_read() {
        let then = files("a/*.jsonl", false, Format::Json);
        let goes_on = [(POSITION.to_owned(), Verdict::Compatible)];
        assert_eq!(compared(&then, &["a/1.jsonl"], &then), goes_on);
        let here = std::env::current_dir().unwrap().join("a/*.jsonl");
        assert_eq!(compared(&then, &["a/1.jsonl"], &files(&here.to_string_lossy(), false, Format::Raw)), goes_on);
        for (now, why) in [
            (files("b/*.jsonl", false, Format::Json), "`b/*.jsonl` would not be read"),
            (files("a/*.jsonl", true, Format::Json), "followed"),
            (files("a/*.jsonl", false, Format::Parquet), "Parquet"),
        ] {
            let found = compared(&then, &["a/1.jsonl"], &now);
            assert!(matches!(&found[..], [(_, Verdict::Incompatible(text))] if text.contains(why)), "{found:?}");
        }
        // What an older wasmill wrote does not say what it read.
        assert_eq!(compare(&node(vec![file("a/1.jsonl")]), None, &files("b", false, Format::Json)), goes_on);
    }

    #[test]
    fn followed_files_are_read_on_where_the_path_still_means_them() {
        let then = files("logs/*.log", true, Format::Raw);
        let known = ["logs/a.log", "logs/b.log", "logs/c.log"];
        let wider = compared(&then, &known, &files("logs", true, Format::Raw));
        assert_eq!(wider, [(POSITION.to_owned(), Verdict::Compatible)]);
        let narrower = compared(&then, &known, &files("logs/a*.log", true, Format::Raw));
        let dropped = ("position in `logs/b.log` and 1 more".to_owned(), Verdict::Dropped);
        assert_eq!(narrower, [(POSITION.to_owned(), Verdict::Compatible), dropped]);
    }
}
