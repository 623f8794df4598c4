//! The dead letters of a job in one file: JSON lines, appended.
//!
//! A letter has `node`, `reason`, `at` (when it was written), `split` and `offset` if the event has them, and the event:
//! `event` is its row as an object, or its text as it was found; `event_hex` its bytes where these are not UTF-8.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connectors::format::encode::RowEncoder;
use crate::dataplane::dead_letter::{DeadEvent, DeadLetter, DeadLetterWriter};
use crate::model::batch::Batch;
use crate::model::fault::Fault;
use crate::plan::connector::DeadLetterFile;

/// For all slots: clones append to the same file.
#[derive(Clone)]
pub struct DeadLetters {
    shared: Arc<Mutex<Appended>>,
}

struct Appended {
    path: PathBuf,
    /// Opened for the first letter.
    file: Option<File>,
}

impl DeadLetters {
    pub fn new(file: &DeadLetterFile) -> Self {
        Self { shared: Arc::new(Mutex::new(Appended { path: file.path.clone(), file: None })) }
    }
}

impl DeadLetterWriter for DeadLetters {
    fn write(&mut self, letters: &[DeadLetter]) -> Result<(), Fault> {
        if letters.is_empty() {
            return Ok(());
        }
        let at = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut lines = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut lines, &Line::new(letter, &at)).expect("a letter is plain JSON");
            lines.push(b'\n');
        }
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).append(&lines)
    }
}

impl Appended {
    fn append(&mut self, lines: &[u8]) -> Result<(), Fault> {
        let path = self.path.display();
        let fault = |error| Fault::unavailable(format!("cannot write dead letters to `{path}`: {error}"));
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                if let Some(directory) = self.path.parent() {
                    fs::create_dir_all(directory).map_err(fault)?;
                }
                let file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(fault)?;
                self.file.insert(file)
            }
        };
        file.write_all(lines).map_err(fault)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    node: &'a str,
    reason: &'a str,
    at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_hex: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Event<'a> {
    Text(&'a str),
    Row(Box<RawValue>),
}

impl<'a> Line<'a> {
    fn new(letter: &'a DeadLetter, at: &'a str) -> Self {
        let (event, event_hex) = match &letter.event {
            DeadEvent::Raw(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => (Some(Event::Text(text)), None),
                Err(_) => (None, Some(hex::encode(bytes))),
            },
            DeadEvent::Row(batch) => (Some(Event::Row(row_object(batch))), None),
        };
        Self {
            node: letter.node.as_str(),
            reason: &letter.reason,
            at,
            split: letter.split.as_ref().map(|split| split.as_str()),
            offset: letter.offset,
            event,
            event_hex,
        }
    }
}

/// The only row of a batch.
fn row_object(batch: &Batch) -> Box<RawValue> {
    let mut line = Vec::new();
    let encoded = RowEncoder::json(batch.records().schema_ref()).encode(batch, &mut line);
    let object = String::from_utf8(line).ok().filter(|_| encoded.is_ok());
    let object = object.and_then(|object| RawValue::from_string(object.trim_end().to_owned()).ok());
    object.unwrap_or_else(|| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, RecordBatch};

    use super::*;
    use crate::model::batch::Provenance;
    use crate::model::id::{SplitName, Uid};
    use crate::model::schema::{DataType, Field, Schema};

    fn letter(event: DeadEvent) -> DeadLetter {
        let split = Some(SplitName::from("a.jsonl@0"));
        DeadLetter { node: Uid::from("clicks"), reason: "bad".to_owned(), split, offset: Some(7), event }
    }

    #[test]
    fn letters_of_all_slots_come_to_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/letters.jsonl");
        let mut one = DeadLetters::new(&DeadLetterFile { path: path.clone() });
        let mut two = one.clone();
        one.write(&[]).unwrap();
        assert!(!path.exists(), "no letter, no file");

        let schema = Schema::new([Field::new("n", DataType::I64)]);
        let records = RecordBatch::try_new(schema.arrow().clone(), vec![Arc::new(Int64Array::from(vec![5]))]).unwrap();
        let row = Batch::new(records, vec![0].into(), Provenance::default());
        one.write(&[letter(DeadEvent::Raw(b"{\"n\":".to_vec())), letter(DeadEvent::Row(row))]).unwrap();
        two.write(&[letter(DeadEvent::Raw(vec![0xff, 0]))]).unwrap();

        let text = fs::read_to_string(path).unwrap();
        let letters: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(letters[0]["event"], "{\"n\":");
        assert_eq!((&letters[0]["node"], &letters[0]["split"]), (&"clicks".into(), &"a.jsonl@0".into()));
        assert_eq!((&letters[0]["offset"], &letters[0]["reason"]), (&7.into(), &"bad".into()));
        assert!(DateTime::parse_from_rfc3339(letters[0]["at"].as_str().unwrap()).is_ok());
        assert_eq!(letters[1]["event"]["n"], 5);
        assert_eq!(letters[2]["event_hex"], "ff00");
    }
}
