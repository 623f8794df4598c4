//! What stops a job. Bad events do not: they become dead letters.

use std::fmt;

use super::id::Uid;

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The author of the plugin: it trapped, broke a limit or returned what is not in the contract, too often.
    Plugin,
    /// The author of the job: its files, its settings or its data are not what it says.
    Invalid,
    /// Whoever runs the machine: a file, a disk or a server does not answer as it should.
    Unavailable,
    /// We: a bug in wasmill.
    Internal,
    /// Nobody: another host runs the job now.
    Superseded,
    /// Whoever keeps the checkpoints: what the job goes on from is damaged, or in a form that cannot be taken over. Each
    /// start of the job would find it so.
    Unrestorable,
}

impl FaultKind {
    /// Whether another start of the job may do better.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Plugin | Self::Invalid | Self::Unavailable | Self::Internal => true,
            Self::Superseded | Self::Unrestorable => false,
        }
    }
}

/// A failure of the job, at the node where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub node: Option<Uid>,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl Fault {
    pub fn plugin(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Plugin, node: None, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Invalid, node: None, message: message.into() }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unavailable, node: None, message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Internal, node: None, message: message.into() }
    }

    pub fn superseded(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Superseded, node: None, message: message.into() }
    }

    pub fn unrestorable(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unrestorable, node: None, message: message.into() }
    }

    /// The same fault, at this node unless it already has one.
    pub fn at(self, node: &Uid) -> Self {
        Self { node: self.node.or_else(|| Some(node.clone())), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "`{node}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}
