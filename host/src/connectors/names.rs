//! What a source that goes on finding more reads by the names in its settings: of what a checkpoint knows, only that is read
//! on.

use crate::dataplane::split::SplitState;
use crate::model::fault::Fault;
use crate::plan::connector::SourceConnector;

use super::file::NamedFiles;
use super::kafka::{Partition, Subscription};

pub enum Names {
    /// Names mean nothing to it, or they did when the job first started.
    Any,
    Files(NamedFiles),
    Topics(Subscription),
}

impl Names {
    pub fn of(source: &SourceConnector) -> Result<Self, Fault> {
        Ok(match source {
            SourceConnector::File(source) if source.follow => Self::Files(NamedFiles::of(source)?),
            SourceConnector::Kafka(source) => Self::Topics(Subscription::to(&source.topics)?),
            _ => Self::Any,
        })
    }

    /// The file or topic that a split is of; `None` = it has no name that means anything.
    pub fn name_of(&self, split: &SplitState) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Files(_) => NamedFiles::path_of(split).map(|path| path.display().to_string()),
            Self::Topics(_) => Partition::of(&split.name).map(|partition| partition.topic),
        }
    }

    /// Whether the source reads what a split is of. One that is none of this connector's is left for `restore` to refuse.
    pub fn has(&self, split: &SplitState) -> bool {
        match self {
            Self::Any => true,
            Self::Files(files) => NamedFiles::path_of(split).is_none_or(|path| files.has(&path)),
            Self::Topics(topics) => Partition::of(&split.name).is_none_or(|partition| topics.has(&partition.topic)),
        }
    }
}
