//! Sizes, durations and parts, as people write them.

use crate::model::time::Micros;

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// `512KiB`, `64 MB`, `100` (bytes).
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let unit =
        if unit.is_empty() { Some(1) } else { SIZES.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size) };
    let size = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    size.ok_or_else(|| format!("`{text}` is not a size; a size is such as \"512KiB\", \"64MiB\" or \"1GB\""))
}

/// `10ms`, `5m`, `1h 30m`.
pub fn duration(text: &str) -> Result<Micros, String> {
    if text.trim_start().starts_with('-') {
        return Err(format!("`{text}` is negative; a duration is at least \"0s\""));
    }
    let length = humantime::parse_duration(text).map_err(|_| {
        format!("`{text}` is not a duration; a duration is such as \"10ms\", \"30s\", \"5m\" or \"1h 30m\"")
    })?;
    match i64::try_from(length.as_micros()) {
        Ok(_) if length.subsec_nanos() % 1_000 != 0 => Err(format!("`{text}` is finer than a microsecond")),
        Ok(micros) => Ok(Micros(micros)),
        Err(_) => Err(format!("`{text}` is longer than 292,000 years")),
    }
}

/// `1%` as 0.01.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("`{text}` is not a part; write one from \"0%\" to \"100%\", such as \"0.5%\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_durations_and_parts() {
        assert_eq!(bytes("512KiB"), Ok(512 << 10));
        assert_eq!(bytes("64 MB"), Ok(64_000_000));
        assert!(bytes("64 mb").unwrap_err().contains("is not a size"));
        assert!(bytes("99999999TiB").is_err());
        assert_eq!(duration("1h 30m"), Ok(Micros(5_400_000_000)));
        assert!(duration("-5s").unwrap_err().contains("negative"));
        assert!(duration("5").unwrap_err().contains("is not a duration"));
        assert!(duration("5ns").unwrap_err().contains("finer"));
        assert!(duration("9999999999y").is_err());
        assert_eq!(percent("1%"), Ok(0.01));
        assert!(percent("101%").is_err());
        assert!(percent("1").is_err());
    }
}
