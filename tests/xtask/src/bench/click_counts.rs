//! What a job counted of the click file, in the words of `tests/peers/flink/clicks.expected`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// `lines=.. rows=.. total=.. fnv=..`: the hash is FNV-1a/64 over the sorted `window_end,ad_id,count` lines.
pub fn summary(folder: &Path) -> Result<String> {
    let mut rows: Vec<(i64, String, u64)> = Vec::new();
    for part in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let part = part.context("a part file")?.path();
        let text = fs::read_to_string(&part).with_context(|| format!("cannot read {}", part.display()))?;
        for line in text.lines() {
            rows.push(row(line).with_context(|| format!("{}: {line}", part.display()))?);
        }
    }
    rows.sort();
    let total: u64 = rows.iter().map(|(.., count)| count).sum();
    let lines = rows.iter().map(|(end, ad, count)| format!("{end},{ad},{count}\n"));
    Ok(format!("lines={total} rows={} total={total} fnv={:016x}", rows.len(), fnv(lines)))
}

fn row(line: &str) -> Result<(i64, String, u64)> {
    let row: Value = serde_json::from_str(line)?;
    let end = row["window_end"].as_str().and_then(millis).context("no `window_end`")?;
    let ad = row["ad_id"].as_str().context("no `ad_id`")?;
    Ok((end, ad.to_owned(), row["clicks"].as_u64().context("no `clicks`")?))
}

fn fnv(texts: impl Iterator<Item = String>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    texts.fold(0xcbf2_9ce4_8422_2325, |hash, text| text.bytes().fold(hash, step))
}

/// Of a time such as `2023-11-14T22:15:00Z`, in whole seconds.
fn millis(time: &str) -> Option<i64> {
    let numbers: Option<Vec<i64>> =
        time.strip_suffix('Z')?.split(['-', 'T', ':']).map(|part| part.parse().ok()).collect();
    let [year, month, day, hour, minute, second] = numbers?[..] else { return None };
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_since_1970() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2023-11-14T22:15:00Z"), Some(1_700_000_100_000));
        assert_eq!(millis("2024-02-29T00:00:01Z"), Some(1_709_164_801_000));
        assert_eq!(millis("yesterday"), None);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv(["foo".to_owned(), "bar".to_owned()].into_iter()), 0x85944171f73967e8);
    }
}
