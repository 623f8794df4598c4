//! What a case is: what is run, what it is compared with, and the figures that a run gives.

use std::process::Command;

use anyhow::Result;

use super::stand::Stand;

pub struct Case {
    pub name: String,
    pub about: String,
    pub kind: Kind,
}

pub enum Kind {
    /// Ours, in turns with its references.
    Measured { figures: &'static [Figure], ours: Subject, references: Vec<Reference> },
    /// One process that has its reference inside, and reports how they compare.
    Reports {
        command: Subject<Command>,
        unit: &'static str,
        reference: &'static str,
        read: fn(&str) -> Result<Compared>,
    },
}

/// One of the figures of a case.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// What follows the case's name; nothing where a case has one figure.
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    pub value: f64,
    /// Above 1 = ours is better.
    pub ratio: f64,
}

pub struct Reference {
    pub name: String,
    pub subject: Subject,
}

/// Does what is measured, once. It fails where what came out is not what should have.
pub type Subject<T = Sample> = Box<dyn Fn(&Stand) -> Result<T>>;

#[derive(Debug, Clone)]
pub struct Sample {
    /// One for each of the case's, in their order; `None` = the program does not tell.
    pub figures: Vec<Option<f64>>,
    pub rss_mb: f64,
}

const PER_CORE: Figure = Figure { name: "", unit: "events per core-second", better: Better::More };
const PER_SECOND: Figure = Figure { name: "", unit: "events per second", better: Better::More };

impl Case {
    /// Events by the CPU time of the process.
    pub fn per_core(name: impl Into<String>, about: impl Into<String>, ours: Subject) -> Self {
        Self::measured(name, about, &[PER_CORE], ours)
    }

    /// Events by the clock.
    pub fn per_second(name: impl Into<String>, about: impl Into<String>, ours: Subject) -> Self {
        Self::measured(name, about, &[PER_SECOND], ours)
    }

    pub fn measured(
        name: impl Into<String>,
        about: impl Into<String>,
        figures: &'static [Figure],
        ours: Subject,
    ) -> Self {
        Self { name: name.into(), about: about.into(), kind: Kind::Measured { figures, ours, references: Vec::new() } }
    }

    /// Compared with this too.
    pub fn against(mut self, name: impl Into<String>, subject: Subject) -> Self {
        if let Kind::Measured { references, .. } = &mut self.kind {
            references.push(Reference { name: name.into(), subject });
        }
        self
    }

    /// By its whole name, or by parts of it: the first one and any that follow, in their order. So `count.1k.ck10` is
    /// `count.1k.memory.ck10.p1` and its like.
    pub fn is_named(&self, name: &str) -> bool {
        let mut parts = self.name.split('.');
        let mut wanted = name.split('.');
        wanted.next() == parts.next() && wanted.all(|wanted| parts.any(|part| part == wanted))
    }
}

impl Reference {
    pub fn is_flink(&self) -> bool {
        self.name.starts_with("flink")
    }
}

impl Figure {
    /// Above 1 = ours is better.
    pub fn ratio(self, ours: f64, theirs: f64) -> f64 {
        match self.better {
            Better::More => ours / theirs,
            Better::Less => theirs / ours,
        }
    }
}

impl Sample {
    pub fn one(figure: f64, rss_mb: f64) -> Self {
        Self { figures: vec![Some(figure)], rss_mb }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_its_name_and_those_of_its_groups() {
        let case = Case::per_core("count.1k.memory.ck10.p1", "", Box::new(|_| unreachable!()));
        for name in ["count", "count.1k", "count.1k.memory", "count.ck10", "count.memory.p1", "count.1k.memory.ck10.p1"]
        {
            assert!(case.is_named(name), "{name}");
        }
        for name in ["coun", "1k", "count.1", "count.ck10.1k", "count.1k.memory.ck1", "count.1k.memory.ck10.p1.p1"] {
            assert!(!case.is_named(name), "{name}");
        }
    }

    #[test]
    fn less_may_be_better() {
        assert_eq!(PER_CORE.ratio(6.0, 2.0), 3.0);
        assert_eq!(Figure { better: Better::Less, ..PER_CORE }.ratio(2.0, 6.0), 3.0);
    }
}
