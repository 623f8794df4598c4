//! That a job is to be stopped, written down before its sources are told: a host that is killed in between leaves a note
//! for the next start.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::fault::Fault;
use crate::store::Store;

use super::coordinator::Then;

const KEY: &str = "stopping.json";
const FORMAT: u32 = 1;

/// What somebody has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    format: u32,
    /// The start of the job that was to be stopped.
    pub incarnation: u64,
    /// `Stop` or `Drain`.
    pub then: Then,
    /// Where the savepoint was to go; `None` = a last checkpoint was to be made.
    pub savepoint: Option<String>,
}

impl Intent {
    pub fn new(incarnation: u64, then: Then, savepoint: Option<String>) -> Self {
        Self { format: FORMAT, incarnation, then, savepoint }
    }

    pub fn write(&self, store: &Store) -> Result<(), Fault> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Fault::internal(format!("an intent cannot be written as JSON: {error}")))?;
        store.put(KEY, bytes)
    }

    /// What was written down last. A note that this program cannot read is none: it is only for people.
    pub fn read(store: &Store) -> Result<Option<Self>, Fault> {
        let Some(bytes) = store.get(KEY)? else { return Ok(None) };
        let intent: Option<Self> = serde_json::from_slice(&bytes).ok();
        Ok(intent.filter(|intent| intent.format == FORMAT))
    }

    pub fn delete(store: &Store) -> Result<(), Fault> {
        store.delete(KEY)
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.then == Then::Drain { "drained and stopped" } else { "stopped" };
        write!(f, "the job was to be {what} with a ")?;
        match &self.savepoint {
            Some(to) => write!(f, "savepoint in {to}")?,
            None => f.write_str("last checkpoint")?,
        }
        f.write_str(", and ended before that was complete: it goes on as if nobody had asked; stop it again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::location::Location;

    #[test]
    fn it_is_there_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        assert_eq!(Intent::read(&store).unwrap(), None);
        let intent = Intent::new(3, Then::Drain, Some("/backup/a".to_owned()));
        intent.write(&store).unwrap();
        assert_eq!(Intent::read(&store).unwrap(), Some(intent));
        Intent::delete(&store).unwrap();
        assert_eq!(Intent::read(&store).unwrap(), None);
        store.put(KEY, b"{\"format\": 7}".to_vec()).unwrap();
        assert_eq!(Intent::read(&store).unwrap(), None);
    }
}
