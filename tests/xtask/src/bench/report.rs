//! The table on stdout, and the JSON lines.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One comparison. Ratios above 1 mean that ours is better.
#[derive(Debug, Clone)]
pub struct Row {
    pub case: String,
    pub value: f64,
    pub unit: &'static str,
    pub reference: Option<String>,
    pub ratio: Option<f64>,
    pub rss_mb: f64,
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "case": self.case,
            "value": rounded(self.value),
            "unit": self.unit,
            "reference": self.reference,
            "ratio": self.ratio.map(rounded),
            "rss_mb": rounded(self.rss_mb),
        })
    }
}

/// Four significant digits say what a measurement knows.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

pub struct Report {
    json: Option<File>,
}

impl Report {
    pub fn start(json: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        let json = json.map(open).transpose()?;
        println!("{:<45}{:>14}  {:<24}{:>8}  {:<24}{:>8}", "case", "value", "unit", "ratio", "to", "RSS MB");
        Ok(Self { json })
    }

    /// Shown and written at once: a later case may fail.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let reference = row.reference.as_deref().unwrap_or("");
        println!(
            "{:<45}{:>14}  {:<24}{ratio:>8}  {reference:<24}{:>8.0}",
            row.case,
            shown(row.value),
            row.unit,
            row.rss_mb
        );
        if let Some(file) = &mut self.json {
            writeln!(file, "{}", row.json()).context("cannot write the JSON file")?;
        }
        Ok(())
    }
}

fn shown(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_every_field() {
        let row = Row {
            case: "clicks.p1".to_owned(),
            value: 1_234_567.0,
            unit: "events per core-second",
            reference: None,
            ratio: Some(2.0),
            rss_mb: 81.04,
        };
        let expected = json!({"case": "clicks.p1", "value": 1_235_000.0, "unit": "events per core-second",
            "reference": null, "ratio": 2.0, "rss_mb": 81.04});
        assert_eq!(row.json(), expected);
    }
}
