//! What is said on a control socket.

use serde::{Deserialize, Serialize};

use crate::control::checkpoint::progress::{CheckpointProgress, CompletedCheckpoint};
use crate::control::checkpoint::savepoint::SavepointMade;

/// Of requests and answers. A server of another version says which it speaks.
pub const VERSION: u32 = 1;

/// A request is one line of at most this.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub version: u32,
    #[serde(flatten)]
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    Status,
    /// `to` is an absolute folder or a URL. A detached request is answered when the savepoint has been accepted, others
    /// when it is complete.
    Savepoint {
        to: Option<String>,
        detached: bool,
    },
    /// Answered when the job is over. With `drain` its sources end first, as if all had been read.
    Stop {
        savepoint: Option<SavepointTo>,
        drain: bool,
    },
}

/// A savepoint that a job stops with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavepointTo {
    /// `None` = within the job's place.
    pub to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub version: u32,
    #[serde(flatten)]
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Status(JobStatus),
    Savepoint(SavepointMade),
    /// A detached savepoint has begun, or waits for its turn.
    Accepted {},
    /// The job is over. `checkpoint` is its last one.
    Stopped {
        checkpoint: Option<CompletedCheckpoint>,
        savepoint: Option<SavepointMade>,
    },
    Error(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    pub job: String,
    pub state: JobState,
    pub process_id: u32,
    /// Since the job was started last.
    pub uptime_ms: u64,
    /// How often it has failed and started again.
    pub restarts_total: u32,
    /// Why it has failed; of one that is restarting or has failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it starts again, from now; of one that is restarting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts_in_ms: Option<u64>,
    /// The number of the checkpoint that it started from.
    pub started_from: Option<u64>,
    pub checkpoints: CheckpointProgress,
    pub nodes: Vec<NodeStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    Running,
    /// It has failed, and waits to start again from its last checkpoint.
    Restarting,
    /// It makes a last checkpoint.
    Stopping,
    /// It is over, stopped or at its end: nobody can ask it, but its report says so.
    Finished,
    /// The same, with a fault.
    Failed,
}

/// A node of the job since it was started last, all slots together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub uid: String,
    pub records_in_total: u64,
    pub records_out_total: u64,
    pub late_records_total: u64,
    pub dead_letters_total: u64,
    /// Of a source, if its connector knows: that are there and were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_records: Option<u64>,
    /// The slowest slot's; absent before the first one and after the last.
    pub current_watermark_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_pinned() {
        let request = |command| serde_json::to_string(&Request { version: VERSION, command }).unwrap();
        assert_eq!(request(Command::Status), r#"{"version":1,"command":"status"}"#);
        let savepoint = Command::Savepoint { to: Some("/a".to_owned()), detached: false };
        assert_eq!(request(savepoint), r#"{"version":1,"command":"savepoint","to":"/a","detached":false}"#);
        let stop = Command::Stop { savepoint: Some(SavepointTo { to: None }), drain: true };
        assert_eq!(request(stop), r#"{"version":1,"command":"stop","savepoint":{"to":null},"drain":true}"#);
        for answer in [Answer::Accepted {}, Answer::Error("no".to_owned())] {
            let text = serde_json::to_string(&Response { version: VERSION, answer: answer.clone() }).unwrap();
            assert_eq!(serde_json::from_str::<Response>(&text).unwrap().answer, answer, "{text}");
        }
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"command":"explode"}"#).is_err());
    }
}
