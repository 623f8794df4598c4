//! What decides which checkpoint of a job counts: records of its starts and of its complete checkpoints, as `storage/` and
//! `connectors/` keep them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::Fault;

/// What this program writes, and all that it reads.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    pub job_id: Uuid,
    /// Counts the starts of the job.
    pub incarnation: u64,
    /// Of one start only: two that claim the job at the same time, from the same decision, must not write the same.
    #[serde(default)]
    claimant: Uuid,
    /// Under which this start of the job writes to Kafka: then it is Kafka that has the last decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transactional_ids: Vec<String>,
    /// See `last_in_log`; of a start that writes to Kafka.
    #[serde(default, skip_serializing_if = "is_zero")]
    last_in_log: u64,
    pub decision: Decision,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The job starts, from this checkpoint or from nothing.
    Claim { start: Option<ManifestRef> },
    /// The checkpoint is complete: what it covers has happened.
    Complete { manifest: ManifestRef },
}

impl Decision {
    /// What the job goes on from after this.
    pub fn state(&self) -> Option<&ManifestRef> {
        match self {
            Self::Claim { start } => start.as_ref(),
            Self::Complete { manifest } => Some(manifest),
        }
    }
}

/// Who decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    pub job_id: Uuid,
    pub incarnation: u64,
    pub claimant: Uuid,
    pub transactional_ids: Vec<String>,
    pub last_in_log: u64,
}

impl Record {
    pub fn new(start: &Start, decision: Decision) -> Self {
        let Start { job_id, incarnation, claimant, transactional_ids, last_in_log } = start.clone();
        Self { format: FORMAT, job_id, incarnation, claimant, transactional_ids, last_in_log, decision }
    }

    /// The last start of the job, this one or an earlier one, that decided in the log in its store and not in Kafka: what
    /// Kafka knows of later ones counts. 0 = none.
    pub fn last_in_log(&self) -> u64 {
        if self.transactional_ids.is_empty() { self.incarnation } else { self.last_in_log }
    }

    /// As JSON, for people too.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Fault::internal(format!("a decision cannot be written as JSON: {error}")))
    }

    /// The error says what is wrong with the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(format!("it is of format {other}, and this wasmill reads format {FORMAT}")),
        }
    }
}

/// Which manifest, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRef {
    /// Within the job's place in the store; absolute, or a URL, where it is elsewhere.
    pub path: String,
    /// Hexadecimal.
    pub sha256: String,
}

impl ManifestRef {
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The key of a file that the manifest names.
    pub fn resolve(&self, file: &str) -> String {
        let mut parts: Vec<&str> = self.folder().split('/').filter(|part| !part.is_empty()).collect();
        for part in file.split('/') {
            match part {
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_beside_their_manifest_or_beside_another() {
        let reference = ManifestRef { path: "checkpoints/2-7/manifest.json".to_owned(), sha256: String::new() };
        assert_eq!(reference.resolve("a.0.state"), "checkpoints/2-7/a.0.state");
        assert_eq!(reference.resolve("../2-6/a.0.state"), "checkpoints/2-6/a.0.state");
    }

    #[test]
    fn records_are_read_as_they_are_written_and_those_of_older_programs_too() {
        let (job_id, claimant, transactional_ids) = (Uuid::nil(), Uuid::max(), vec!["a".to_owned()]);
        let start = Start { job_id, incarnation: 7, claimant, transactional_ids, last_in_log: 4 };
        let record = Record::new(&start, Decision::Claim { start: None });
        assert_eq!(record.last_in_log(), 4);
        assert_eq!(Record::parse(&record.to_bytes().unwrap()), Ok(record));
        let old = br#"{"format":1,"job_id":"00000000-0000-0000-0000-000000000000","incarnation":2,
            "decision":{"complete":{"manifest":{"path":"a","sha256":"b"}}}}"#;
        let parsed = Record::parse(old).unwrap();
        assert!(parsed.transactional_ids.is_empty() && parsed.last_in_log() == 2);
        let newer = String::from_utf8_lossy(old).replace("\"format\":1", "\"format\":2");
        assert!(Record::parse(newer.as_bytes()).unwrap_err().contains("format 2"));
    }
}
