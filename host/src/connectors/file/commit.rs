//! Gives parts their names, which is when people see them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::connectors::Committer;
use crate::dataplane::sink_writer::Committable;
use crate::model::fault::Fault;
use crate::plan::connector::FileSink;

use super::parts::{Prepared, hidden};
use super::sink::refuse_earlier;
use super::unavailable;

pub struct FileCommitter {
    directory: PathBuf,
}

impl FileCommitter {
    pub fn new(sink: &FileSink) -> Self {
        Self { directory: sink.path.clone() }
    }

    fn publish(&self, part: &str) -> Result<(), Fault> {
        let (from, to) = (hidden(&self.directory, part), self.directory.join(part));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()),
            result => result.map_err(|error| unavailable("rename", &from, &error)),
        }
    }
}

impl Committer for FileCommitter {
    fn commit(&mut self, committables: &[Committable]) -> Result<(), Fault> {
        for committable in committables {
            let prepared: Prepared = serde_json::from_value(committable.clone()).map_err(|error| {
                Fault::invalid(format!(
                    "the checkpoint has {committable} for a sink of files, which is no part: {error}"
                ))
            })?;
            self.publish(&prepared.part)?;
        }
        if committables.is_empty() {
            return Ok(());
        }
        let sync = File::open(&self.directory).and_then(|directory| directory.sync_all());
        sync.map_err(|error| unavailable("sync the directory", &self.directory, &error))
    }

    fn sweep(&mut self, is_fresh: bool) -> Result<(), Fault> {
        let fault = |error| unavailable("list", &self.directory, &error);
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(fault)?,
        };
        for entry in entries {
            let path = entry.map_err(fault)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(".part-") && name.ends_with(".inprogress") {
                fs::remove_file(&path).map_err(|error| unavailable("remove", &path, &error))?;
            }
        }
        if is_fresh { refuse_earlier(&self.directory, |found| found.starts_with("part-")) } else { Ok(()) }
    }
}
