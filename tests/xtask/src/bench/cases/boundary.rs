//! What the boundary of the sandbox costs.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::case::{Case, Compared, Kind};

/// An operator and a number of rows, as `wasmill-bench boundary` names them.
const CASES: [(&str, &str); 7] = [
    ("map.1", "a map of every column of a 124-byte event, one event a batch"),
    ("map.64", "the same, 64 events a batch"),
    ("map.1024", "the same, 1024 events a batch"),
    ("map.4096", "the same, 4096 events a batch"),
    ("filter.1024", "a filter on the 100-byte payload"),
    ("clicks.1024", "three typed columns of six read, one written"),
    ("check.1024", "the main job's operator, which looks at every byte of its three texts"),
];

pub fn cases() -> Vec<Case> {
    let case = |(case, about): (&'static str, &'static str)| Case {
        name: format!("boundary.{case}"),
        about: about.to_owned(),
        kind: Kind::Reports {
            command: Box::new(move |stand| stand.boundary(case)),
            unit: "ns/event over native",
            reference: "native",
            read,
        },
    };
    CASES.into_iter().map(case).collect()
}

fn read(stdout: &str) -> Result<Compared> {
    let figures: Value = serde_json::from_str(stdout.trim()).context("what wasmill-bench prints")?;
    let figure = |name: &str| figures[name].as_f64().with_context(|| format!("it reported no `{name}`"));
    let (wasm, native) = (figure("wasm")?, figure("native")?);
    Ok(Compared { value: wasm - native, ratio: native / wasm })
}
