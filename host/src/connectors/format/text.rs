//! Values written as text: the forms that JSON texts and CSV fields share.
//!
//! - timestamps: RFC 3339, such as `2015-05-17T10:05:03.25Z` or `2015-05-17T12:05:03+02:00` (a blank may stand for the
//!   `T`); digits behind the microsecond are cut off;
//! - dates: `2015-05-17`;
//! - durations: a whole number of microseconds;
//! - bytes: hexadecimal digits, two for each byte;
//! - decimals: digits with or without a point and an exponent, which must fit exactly.

use chrono::{DateTime, NaiveDate};

const UNIX_EPOCH: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();

/// Microseconds since the epoch.
pub fn timestamp(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// Days since the epoch.
pub fn date(text: &str) -> Option<i32> {
    let date: NaiveDate = text.parse().ok()?;
    i32::try_from(date.signed_duration_since(UNIX_EPOCH).num_days()).ok()
}

/// Appends the bytes that the digits stand for, or nothing.
pub fn bytes(digits: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + digits.len() / 2, 0);
    let read = hex::decode_to_slice(digits, &mut out[start..]).is_ok();
    if !read {
        out.truncate(start);
    }
    read
}

/// The number times 10^scale. The error says why there is none.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| "not a number")?),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err("not a number".to_owned());
    }
    let fraction = fraction.trim_end_matches('0');
    let too_large = || format!("has more than {precision} digits");
    let mut value = 0i128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0'))).ok_or_else(too_large)?;
    }
    let shift = i64::from(scale) + i64::from(exponent) - fraction.len() as i64;
    let value = shifted(value, shift).map_err(|inexact| {
        if inexact { format!("has digits behind the {scale} that are kept after the point") } else { too_large() }
    })?;
    if value >= 10i128.pow(u32::from(precision)) {
        return Err(too_large());
    }
    Ok(if negative { -value } else { value })
}

/// `value` times 10^shift; the error is whether digits would be lost (otherwise it is too large).
fn shifted(value: i128, shift: i64) -> Result<i128, bool> {
    let power = |n: i64| u32::try_from(n).ok().and_then(|n| 10i128.checked_pow(n));
    match shift {
        _ if value == 0 => Ok(0),
        0.. => power(shift).and_then(|factor| value.checked_mul(factor)).ok_or(false),
        _ => match power(-shift) {
            Some(divisor) if value % divisor == 0 => Ok(value / divisor),
            _ => Err(true),
        },
    }
}

/// The first 100 characters or so, for messages.
pub fn shorten(text: &str) -> String {
    const CHARS: usize = 100;
    match text.char_indices().nth(CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}..", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(decimal("12.34", 5, 2), Ok(1234));
        assert_eq!(decimal("-0.1", 5, 2), Ok(-10));
        assert_eq!(decimal("1.2300000000000000000000000000000000000000000000", 5, 2), Ok(123));
        assert_eq!(decimal("1e2", 5, 2), Ok(10_000));
        assert_eq!(decimal("125E-1", 5, 2), Ok(1250));
        assert_eq!(decimal("1200", 5, -2), Ok(12));
        assert_eq!(decimal("0e999999999", 5, 2), Ok(0));
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0), Ok(10i128.pow(38) - 1));
        assert!(decimal("1.234", 5, 2).unwrap_err().contains("behind the 2"));
        assert!(decimal("1000", 5, 2).unwrap_err().contains("more than 5 digits"));
        assert!(decimal("1e999999999", 5, 2).unwrap_err().contains("more than 5 digits"));
        assert!(decimal("1e-999999999", 5, 2).unwrap_err().contains("behind the 2"));
        for bad in ["", "-", ".", "x", "1e", "1.2.3", "--1", "1e99999999999", "NaN"] {
            assert!(decimal(bad, 5, 2).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(timestamp("1970-01-01T00:00:01.25Z"), Some(1_250_000));
        assert_eq!(timestamp("1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(timestamp("1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(timestamp("1970-01-01 00:00:00Z"), Some(0));
        for bad in ["", "1970-01-01", "1970-01-01T00:00:00", "0", "1970-13-01T00:00:00Z"] {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("2015-05-32"), None);
    }

    #[test]
    fn bytes_are_hexadecimal_pairs() {
        let mut out = vec![9];
        assert!(bytes("00fFa1", &mut out));
        assert!(!bytes("abc", &mut out) && !bytes("zz", &mut out));
        assert_eq!(out, [9, 0, 0xff, 0xa1]);
    }
}
