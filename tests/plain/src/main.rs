//! plain-clicks IN.jsonl OUT.csv: counts clicks per ad in 5-minute windows of event time, on one thread, with no stream
//! processor in sight. It is what Wasmill's throughput is compared with, and an independent check of its results.
//!
//! Prints `lines= rows= total= fnv=`, the last being FNV-1a/64 over the sorted `window_end,ad_id,count` lines, as
//! `tests/peers/flink/clicks.expected` has it.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

use serde::Deserialize;

const WINDOW_MS: i64 = 5 * 60 * 1000;
const READ_BYTES: usize = 1 << 20;

/// All six fields, as a program that does something with a click would have them.
#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding them is the work that is compared")]
struct Click<'a> {
    user_id: &'a str,
    action: &'a str,
    timestamp: i64,
    page: &'a str,
    ad_id: &'a str,
    ip: &'a str,
}

#[derive(Default)]
struct Counts {
    /// by window end, then by ad
    clicks: HashMap<i64, HashMap<Box<str>, u64>>,
    lines: u64,
}

impl Counts {
    fn add(&mut self, click: &Click<'_>) {
        let window_end = click.timestamp - click.timestamp.rem_euclid(WINDOW_MS) + WINDOW_MS;
        let ads = self.clicks.entry(window_end).or_default();
        match ads.get_mut(click.ad_id) {
            Some(count) => *count += 1,
            None => {
                ads.insert(click.ad_id.into(), 1);
            }
        }
        self.lines += 1;
    }

    fn rows(&self) -> Vec<(i64, &str, u64)> {
        let mut rows: Vec<_> = Vec::new();
        for (&window_end, ads) in &self.clicks {
            rows.extend(ads.iter().map(|(ad, &count)| (window_end, &**ad, count)));
        }
        rows.sort_unstable();
        rows
    }
}

fn count(path: &str) -> Result<Counts, Box<dyn Error>> {
    let mut reader = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let mut counts = Counts::default();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        counts.add(&serde_json::from_str(&line)?);
        line.clear();
    }
    Ok(counts)
}

struct Fnv(u64);

impl Fnv {
    fn add(&mut self, text: &str) {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else { return Err("usage: plain-clicks IN.jsonl OUT.csv".into()) };
    let counts = count(input)?;
    let rows = counts.rows();
    let mut file = BufWriter::new(File::create(output)?);
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    let mut total = 0;
    for (window_end, ad, count) in &rows {
        let row = format!("{window_end},{ad},{count}\n");
        fnv.add(&row);
        file.write_all(row.as_bytes())?;
        total += count;
    }
    file.flush()?;
    println!("lines={} rows={} total={total} fnv={:016x}", counts.lines, rows.len(), fnv.0);
    Ok(())
}
