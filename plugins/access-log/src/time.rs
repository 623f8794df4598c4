//! Times of an access log.
use wasmill_sdk::prelude::*;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `17/May/2015:10:05:03 +0000`
pub fn parse(text: &str) -> Option<Timestamp> {
    let (time, zone) = text.split_once(' ')?;
    let mut parts = time.split(['/', ':']);
    let day: i64 = parts
        .next()?
        .parse()
        .ok()
        .filter(|day| (1..=31).contains(day))?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
    let year: i64 = parts
        .next()?
        .parse()
        .ok()
        .filter(|year| (1..=9999).contains(year))?;
    let mut seconds = 0i64;
    for limit in [24, 60, 61] {
        let part = parts
            .next()?
            .parse::<i64>()
            .ok()
            .filter(|part| (0..limit).contains(part))?;
        seconds = seconds * 60 + part;
    }
    let (sign, digits) = zone.split_at_checked(1)?;
    let offset: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    let offset = (offset / 100 * 60 + offset % 100) * 60;
    let offset = if sign == "-" { -offset } else { offset };
    parts
        .next()
        .is_none()
        .then(|| Timestamp::from_seconds(days(year, month, day) * 86_400 + seconds - offset))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, in years that begin in March so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        let seconds = |text| parse(text).map(|time| time.0 / 1_000_000);
        assert_eq!(seconds("01/Jan/1970:00:00:00 +0000"), Some(0));
        assert_eq!(seconds("29/Feb/2024:23:59:59 +0130"), Some(1_709_245_799));
        assert_eq!(seconds("01/Mar/2024:00:00:00 -0800"), Some(1_709_280_000));
        assert_eq!(seconds("17/Mai/2015:10:05:03 +0000"), None);
    }
}
